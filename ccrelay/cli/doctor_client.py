"""Checks of `ccrelay doctor` on Claude Code: the program, its variables, its settings files."""

import ipaddress
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from ccrelay.cli.doctor_report import Finding

BASE_URL = "ANTHROPIC_BASE_URL"
API_KEY = "ANTHROPIC_API_KEY"
AUTH_TOKEN = "ANTHROPIC_AUTH_TOKEN"
TOOL_SEARCH = "ENABLE_TOOL_SEARCH"
SEARCH_BETA = "advanced-tool-use-2025-11-20"
# Claude Code asks a cloud itself and knows no base URL of Anthropic's API then.
CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
WATCHED = (BASE_URL, API_KEY, AUTH_TOKEN, TOOL_SEARCH, *CLOUDS)
PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
VERSION_TIMEOUT_S = 6.0
_PORTS = {"http": 80, "https": 443}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class Setting(NamedTuple):
    """The value of a variable for Claude Code, and where it comes from."""

    value: str
    source: str  # path of a settings file; empty: the environment


class Client(NamedTuple):
    """What Claude Code would use in this folder.

    Args:
        settings: the watched variables that are set.
        helper: the settings file that names an `apiKeyHelper`; empty: none does.
        unreadable: settings files that are no JSON, with the reason.
        files: settings files that there are.
        variables: all that settings files set, which wins over the environment.
    """

    settings: Mapping[str, Setting]
    helper: str
    unreadable: Sequence[tuple[str, str]]
    files: Sequence[str]
    variables: Mapping[str, Setting] = {}


def settings_files(env: Mapping[str, str], cwd: Path | None, system: Path) -> list[Path]:
    """Return where Claude Code looks for settings, the weakest first.

    Args:
        env: `CLAUDE_CONFIG_DIR` or `HOME` says where the user's are.
        cwd: the folder that it is started in; None: of no folder.
        system: the folder of managed settings.
    """
    own = env.get("CLAUDE_CONFIG_DIR", "")
    home = env.get("HOME", "")
    found = [Path(own)] if own else [Path(home, ".claude")] if home else []
    files = [folder / "settings.json" for folder in found]
    if cwd is not None:
        files += [cwd / ".claude" / "settings.json", _local_settings(cwd)]
    managed = system / "managed-settings.d"
    try:
        more = sorted(managed.glob("*.json"))
    except OSError:
        more = []
    return list(dict.fromkeys([*files, system / "managed-settings.json", *more]))


def _local_settings(cwd: Path) -> Path:
    """The file that is not shared: Claude Code 2.1.332 takes that of the repository's top first."""
    from ccrelay.cli.client_project import repository

    top = repository(cwd)
    folders = [cwd] if top is None else [_main_worktree(top), cwd]
    files = [folder / ".claude" / "settings.local.json" for folder in folders]
    return next((file for file in files if file.exists()), files[-1])


def _main_worktree(top: Path) -> Path:
    """The folder that a linked worktree belongs to, which is named in the file `.git`."""
    try:
        folder = Path(top, (top / ".git").read_text().removeprefix("gitdir:").strip())
    except (OSError, ValueError):
        return top
    return folder.parents[2] if folder.parent.name == "worktrees" else top


def system_folder() -> Path:
    """Return the folder of managed settings on this system."""
    if sys.platform == "darwin":
        return Path("/Library/Application Support/ClaudeCode")
    return Path("/etc/claude-code")


def read_client(env: Mapping[str, str], cwd: Path | None, system: Path) -> Client:
    """Read the variables, and the settings files whose `env` overrides them."""
    from ccrelay.cli.settings_store import StoreError, read_bytes

    variables: dict[str, Setting] = {}
    settings = {name: Setting(env[name], "") for name in WATCHED if env.get(name)}
    helper = ""
    unreadable: list[tuple[str, str]] = []
    files: list[str] = []
    for path in settings_files(env, cwd, system):
        try:
            content = json.loads(read_bytes(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            if path.exists():
                unreadable.append((str(path), error.strerror or "cannot be read"))
            continue
        except StoreError as error:
            unreadable.append((str(path), str(error).removeprefix(f"{path} ").rstrip(".")))
            continue
        except (ValueError, RecursionError):
            unreadable.append((str(path), "no valid JSON"))
            continue
        files.append(str(path))
        if not isinstance(content, dict):
            unreadable.append((str(path), "no JSON object"))
            continue
        helper = str(path) if content.get("apiKeyHelper") else helper
        variables |= _env_of(content, str(path))
    settings |= {name: one for name, one in variables.items() if name in WATCHED}
    return Client(settings, helper, unreadable, files, variables)


def _env_of(content: dict[str, Any], source: str) -> dict[str, Setting]:
    own = content.get("env")
    if not isinstance(own, dict):
        return {}
    return {
        name: Setting(value if isinstance(value, str) else json.dumps(value), source)
        for name, value in own.items()
        if isinstance(value, str | int)
    }


def check_client(
    client: Client, env: Mapping[str, str], listen: Sequence[str], tokens: Sequence[str] | None
) -> list[Finding]:
    """Return what stands between Claude Code and the relay.

    Args:
        client: what Claude Code would use.
        env: for proxies.
        listen: addresses of the relay, HOST:PORT; empty: not known.
        tokens: its relay tokens; None: they are not known here.
    """
    found = [
        Finding(
            "warn",
            "settings",
            f"{path}: {reason}",
            "Claude Code ignores the file, and what this one says of it may be wrong.",
        )
        for path, reason in client.unreadable
    ]
    found += _check_clouds(client)
    found += check_base_url(client, env, listen)
    found += _check_credentials(client, tokens)
    return found


def _check_clouds(client: Client) -> list[Finding]:
    used = [
        name
        for name in CLOUDS
        if name in client.settings and client.settings[name].value.lower() in _TRUE
    ]
    return [
        Finding(
            "FAIL",
            "claude",
            f"{name} is set{_where(client.settings[name])}",
            f"Claude Code asks the cloud itself, and does not read {BASE_URL}.",
            _unset(name, client.settings[name]),
        )
        for name in used
    ]


def check_base_url(client: Client, env: Mapping[str, str], listen: Sequence[str]) -> list[Finding]:
    """Check that the base URL points to the relay, and that a proxy does not stand before it.

    Where the relay's address is not known, that is all that is not said.
    """
    setting = client.settings.get(BASE_URL)
    if setting is None:
        return [
            Finding(
                "warn",
                "base url",
                f"{BASE_URL} is not set in this shell",
                "Claude Code started here asks api.anthropic.com, not the relay.",
                'ccrelay claude, or eval "$(ccrelay env)"',
            )
        ]
    where = _where(setting)
    parts = _split(setting.value)
    if parts is None:
        mend = _set(BASE_URL, _local_url(listen), setting) if listen else "ccrelay env"
        return [Finding("FAIL", "base url", f"{BASE_URL} is no URL{where}", do=mend)]
    url = _local_url(listen) if listen else shown(parts._replace(scheme="http"))
    mend = _set(BASE_URL, url, setting)
    if listen and not _points_here(parts, listen):
        text = f"{BASE_URL} points to {shown(parts)}{where}, the relay is {', '.join(listen)}"
        return [Finding("FAIL", "base url", text, "The relay sees nothing of it.", mend)]
    if parts.scheme == "https":
        text = f"{BASE_URL} says https{where}, the relay speaks http"
        return [Finding("FAIL", "base url", text, "Claude Code cannot connect.", mend)]
    found = [Finding("ok", "base url", f"{BASE_URL} points here{where}")] if listen else []
    if parts.path.rstrip("/").endswith("/v1"):
        text = f"{BASE_URL} ends in /v1{where}"
        meaning = "Claude Code adds /v1 itself. This relay understands it, other gateways do not."
        found = [Finding("warn", "base url", text, meaning, mend)]
    elif parts.path.strip("/"):
        text = f"{BASE_URL} has a path{where}"
        found = [Finding("FAIL", "base url", text, "The relay answers it with 404.", mend)]
    return found + _check_local_proxy(parts, env)


def _check_local_proxy(parts: SplitResult, env: Mapping[str, str]) -> list[Finding]:
    name = next((name for name in PROXIES if env.get(name)), None)
    host = parts.hostname or ""
    if name is None or _is_exempt(host, env.get("no_proxy") or env.get("NO_PROXY") or ""):
        return []
    return [
        Finding(
            "warn",
            "base url",
            f"{name} is set, and NO_PROXY does not exempt {host}",
            "Claude Code may send its requests for the relay to that proxy.",
            f"export NO_PROXY={host}",
        )
    ]


def _is_exempt(host: str, names: str) -> bool:
    entries = [entry.strip().lower().lstrip(".") for entry in names.split(",")]
    return "*" in entries or any(
        host == entry or (entry and host.endswith(f".{entry}")) for entry in entries
    )


def _check_credentials(client: Client, tokens: Sequence[str] | None) -> list[Finding]:
    key, token = client.settings.get(API_KEY), client.settings.get(AUTH_TOKEN)
    found: list[Finding] = []
    if key and token:
        found.append(
            Finding(
                "warn",
                "credentials",
                f"{API_KEY}{_where(key)} and {AUTH_TOKEN}{_where(token)} are both set",
                "Claude Code sends both. One of them is a relay token or a provider's key by "
                "mistake; with pass-through the provider may take the wrong one.",
                _unset(API_KEY, key),
            )
        )
    if client.helper:
        text = f"{client.helper} has an apiKeyHelper"
        found.append(
            Finding("warn", "credentials", text, "What it prints is sent in both headers.")
        )
    if not tokens:
        return found
    given = [one for one in (key, token) if one is not None]
    if not given and not client.helper:
        found.append(
            Finding(
                "FAIL",
                "credentials",
                "the relay wants a token, and none is set in this shell",
                "It answers with 401.",
                f"export {AUTH_TOKEN}='<one of server.auth.tokens>'",
            )
        )
    elif given and not any(one.value in tokens for one in given):
        found.append(
            Finding(
                "FAIL",
                "credentials",
                "what is set here is none of server.auth.tokens",
                "The relay answers with 401.",
                f"export {AUTH_TOKEN}='<one of server.auth.tokens>'",
            )
        )
    return found


def check_tool_search(client: Client, without: Sequence[str] = ()) -> list[Finding]:
    """Tell of tool search that is off, or on where a provider is denied its beta.

    Args:
        client: what Claude Code would use.
        without: names of providers that its beta is not sent to.
    """
    setting = client.settings.get(TOOL_SEARCH)
    is_off = setting is not None and setting.value.lower() in _FALSE
    if is_off and setting is not None and not without:
        return [
            Finding(
                "warn",
                "tool search",
                f"{TOOL_SEARCH}={setting.value}{_where(setting)} turns it off",
                "Definitions of all tools stand in each prompt.",
                _unset(TOOL_SEARCH, setting),
            )
        ]
    if without and not is_off and BASE_URL in client.settings:
        return [
            Finding(
                "warn",
                "tool search",
                f"on, but its beta is not sent to {' and '.join(without)}",
                "Tools that Claude Code defers cannot be found there.",
                f"take {SEARCH_BETA} out of drop_betas, or start it with: ccrelay claude",
            )
        ]
    return []


def check_program(env: Mapping[str, str]) -> list[Finding]:
    """Look for `claude` and ask for its version."""
    program = shutil.which("claude", path=env.get("PATH"))
    if program is None:
        text = "the program `claude` is not in PATH"
        return [Finding("warn", "claude", text, do="npm install -g @anthropic-ai/claude-code")]
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        text = f"{program} does not tell its version within {VERSION_TIMEOUT_S:g} s"
        return [Finding("warn", "claude", text)]
    told = done.stdout.decode(errors="replace").split()
    if done.returncode or not told:
        text = f"{program} --version failed"
        return [Finding("warn", "claude", text, do="claude --version")]
    return [Finding("ok", "claude", f"version {told[0][:40]}, {program}")]


def shown(parts: SplitResult) -> str:
    """Return scheme, host and port of a URL: what follows may hold a credential."""
    host = parts.hostname or "?"
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        return None
    return parts if parts.scheme in _PORTS and parts.hostname else None


def _points_here(parts: SplitResult, listen: Sequence[str]) -> bool:
    port = parts.port or _PORTS[parts.scheme]
    return any(
        port == int(address.rpartition(":")[2] or 0)
        and _reaches(parts.hostname or "", address.rpartition(":")[0].strip("[]"))
        for address in listen
    )


def _reaches(host: str, listening: str) -> bool:
    if host == listening or listening in ("0.0.0.0", "::"):
        return True
    return _is_loopback(host) and _is_loopback(listening)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _local_url(listen: Sequence[str]) -> str:
    host, _, port = listen[0].rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"http://{host}:{port}"


def _where(setting: Setting) -> str:
    return f" (in {setting.source})" if setting.source else ""


def _set(name: str, value: str, setting: Setting) -> str:
    if setting.source:
        return f'in {setting.source}, under "env": "{name}": "{value}"'
    return f"export {name}={value}"


def _unset(name: str, setting: Setting) -> str:
    return f'remove "{name}" from {setting.source}' if setting.source else f"unset {name}"
