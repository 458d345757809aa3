"""What is asked of this machine: files of the clouds and of Claude Code, optional libraries."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ccrelay.config.cloud_environment import EXTRAS, lacking
from ccrelay.config.starter_clouds import AWS_FILES, GOOGLE_FILE, FoundCloud, Machine

_FILE_BYTES_MAX = 1 << 20
_STATE_BYTES_MAX = 32 << 20  # Claude Code keeps its history in it
LOGIN_VARIABLE = "CLAUDE_CODE_OAUTH_TOKEN"


def machine_of(env: Mapping[str, str]) -> Machine:
    """Look for the files of the clouds' own command lines in the home folder."""
    home = env.get("HOME")
    if not home:
        return Machine(env)
    names = [name for name in (*AWS_FILES, GOOGLE_FILE) if os.path.isfile(Path(home, name))]
    return Machine(env, frozenset(names), _aws_region(env, Path(home)))


def extras_needed(clouds: Iterable[FoundCloud]) -> list[str]:
    """The extras of clouds in use that are not installed."""
    names = {cloud.extra for cloud in clouds if cloud.is_used and cloud.extra}
    return sorted(name for name in names if lacking(EXTRAS[name]))


def has_login(env: Mapping[str, str]) -> bool:
    """Whether Claude Code is logged in here, by its files: no credential is read.

    On macOS the credential is in the keychain, and `.claude.json` says whose it is.
    """
    if env.get(LOGIN_VARIABLE):
        return True
    own, home = env.get("CLAUDE_CONFIG_DIR", ""), env.get("HOME", "")
    if not (own or home):
        return False
    if os.path.isfile(Path(own or Path(home, ".claude"), ".credentials.json")):
        return True
    state = Path(own or home, ".claude.json")
    if not os.path.isfile(state):  # of a pipe the reading would not end
        return False
    try:
        with open(state, "rb") as file:
            return b'"oauthAccount"' in file.read(_STATE_BYTES_MAX)
    except OSError:
        return False


def _aws_region(env: Mapping[str, str], home: Path) -> str | None:
    """The region of the profile in use; None: there is none, or the file cannot be read."""
    import configparser  # where there is a cloud

    parser = configparser.RawConfigParser(strict=False)
    named = Path(env.get("AWS_CONFIG_FILE") or home / AWS_FILES[0])
    if not os.path.isfile(named):
        return None
    try:
        with open(named, encoding="utf-8") as file:
            parser.read_string(file.read(_FILE_BYTES_MAX))
    except (OSError, ValueError, configparser.Error):
        return None
    profile = env.get("AWS_PROFILE") or "default"
    section = profile if profile == "default" else f"profile {profile}"
    return parser.get(section, "region", fallback=None)
