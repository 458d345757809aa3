"""Finds what could be used: a login, keys in the environment, clouds, local models."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ccrelay.config.cloud_environment import EXTRAS, lacking
from ccrelay.config.defaults import KNOWN_KEYS, Ollama, ollama_url
from ccrelay.config.load import VARIABLE, config_folders
from ccrelay.config.starter_clouds import FoundCloud, find_clouds
from ccrelay.first_run.choice import Found, SetupProblem
from ccrelay.first_run.machine import LOGIN_VARIABLE, has_login, machine_of
from ccrelay.first_run.ollama import probe_ollama

ANTHROPIC_KEY = "ANTHROPIC_API_KEY"
LOGIN = "login of Claude Code"
MODELS_MAX = 50
_NAMES = ("config.yaml", "config.yml", "config.toml")
# The variables that `detect`, `check` and `write` read: the manager asks the supervisor for them,
# and for those that the keychain's process needs. A test compares it with what is read.
VARIABLES = frozenset(
    {
        *("HOME", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "OLLAMA_HOST", "CCRELAY_FILE_CHECKS"),
        *(VARIABLE, LOGIN_VARIABLE, ANTHROPIC_KEY, "SUDO_UID"),
        *(known.variable for known in KNOWN_KEYS),
        *("AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_BEDROCK_BASE_URL", "CLAUDE_CODE_USE_BEDROCK"),
        *("CLAUDE_CODE_USE_MANTLE", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE"),
        *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION", "AWS_DEFAULT_REGION"),
        *("CLAUDE_CODE_USE_ANTHROPIC_AWS", "ANTHROPIC_AWS_WORKSPACE_ID", "ANTHROPIC_AWS_API_KEY"),
        *("CLAUDE_CODE_USE_VERTEX", "ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"),
        *("CLOUD_ML_REGION", "GOOGLE_APPLICATION_CREDENTIALS"),
        *("CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD", "ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID"),
        *("ANTHROPIC_GOOGLE_CLOUD_PROJECT", "ANTHROPIC_GOOGLE_CLOUD_LOCATION"),
        *("CLAUDE_CODE_USE_FOUNDRY", "ANTHROPIC_FOUNDRY_RESOURCE", "ANTHROPIC_FOUNDRY_API_KEY"),
        *("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
    }
)


class Detected(NamedTuple):
    """What this machine has.

    Args:
        found: the best first.
        ollama: that answered; None: none did.
        clouds: those that were found.
    """

    found: tuple[Found, ...]
    ollama: Ollama | None
    clouds: tuple[FoundCloud, ...]


def detect(env: Mapping[str, str]) -> Detected:
    """Look around; blocks for PROBE_TIMEOUT_S at most. Reads no key and sends none."""
    clouds = find_clouds(machine_of(env))
    ollama = probe_ollama(ollama_url(env))
    found = [*_login(env), *_keys(env)]
    found += [_cloud(cloud, env) for cloud in clouds if cloud.is_used]
    if ollama is not None:
        found.append(_ollama(ollama))
    found += [_cloud(cloud, env) for cloud in clouds if not cloud.is_used]
    return Detected((*(one for one in found if one.usable), *_unusable(found)), ollama, clouds)


def target(env: Mapping[str, str]) -> Path:
    """Where the configuration is written to.

    Raises:
        SetupProblem: the environment names no folder for it.
    """
    if named := env.get(VARIABLE):
        return Path(named)
    folders = config_folders(env)
    if not folders:
        raise SetupProblem(f"Neither HOME nor XDG_CONFIG_HOME is set: set {VARIABLE} to a path.")
    return folders[0] / "config.yaml"


def existing(env: Mapping[str, str]) -> Path | None:
    """The user's configuration, where there is one already; as `target`, by its variable first."""
    named = env.get(VARIABLE)
    places = (
        [Path(named)]
        if named
        else [folder / name for folder in config_folders(env) for name in _NAMES]
    )
    return next((place for place in places if os.path.lexists(place)), None)


def _unusable(found: Sequence[Found]) -> list[Found]:
    return [one for one in found if not one.usable]


def _login(env: Mapping[str, str]) -> list[Found]:
    if not has_login(env):
        return []
    note = "Claude Code's own login passes through to Anthropic: no key is kept."
    return [Found(type="anthropic", name="anthropic", source=LOGIN, usable=True, note=note)]


def _keys(env: Mapping[str, str]) -> list[Found]:
    known = [(ANTHROPIC_KEY, "anthropic", "anthropic")]
    known += [(one.variable, one.type, one.name) for one in KNOWN_KEYS]
    return [
        Found(
            type=type_,
            name=name,
            source=variable,
            usable=True,
            note="A key in the environment: the file names the variable and never holds the key.",
            variable=variable,
        )
        for variable, type_, name in known
        if env.get(variable)
    ]


def _ollama(ollama: Ollama) -> Found:
    models = ollama.models[:MODELS_MAX]
    note = "Local models, free of charge."
    if not models:
        note = "It runs, and has no model yet: ollama pull qwen3:32b"
    return Found(
        type="ollama",
        name="ollama",
        source=ollama.base_url.partition("://")[2],
        usable=bool(models),
        note=note,
        models=models,
        base_url=ollama.base_url,
    )


def _cloud(cloud: FoundCloud, env: Mapping[str, str]) -> Found:
    lacks = bool(cloud.extra) and bool(lacking(EXTRAS[cloud.extra]))
    note = "Claude Code is set to use it; its credential is obtained as the cloud's tools do."
    if lacks:
        note = f"A library is missing: pip install 'ccrelay-proxy[{cloud.extra}]'"
    elif not cloud.is_used:
        note = "Its credentials are here; Claude Code is not set to use it."
    return Found(
        type=cloud.name,
        name=cloud.name,
        source=", ".join(cloud.found_by),
        usable=cloud.is_used and not lacks,
        note=note,
    )
