"""The text of the first configuration. Pure: it holds references to keys, and never a key."""

import json
import re
from collections.abc import Mapping, Sequence

from ccrelay.config.address import is_loopback, split_listen
from ccrelay.config.defaults import HEAD, TAIL, mapping_lines
from ccrelay.config.starter_clouds import FoundCloud, key_lines
from ccrelay.first_run.choice import (
    CLOUDS,
    OWN_NAMES,
    Choice,
    KeyStore,
    SetupProblem,
    known_key,
)

_MEMBERS = (
    *("preset", "region", "location", "project", "workspace", "resource", "api"),
    *("inference_profile", "auth", "billing", "count_tokens", "system_role"),
)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*\Z")
_REFERENCE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_KEPT = {
    KeyStore.KEYCHAIN: "in the keychain; `ccrelay keys set {name}` replaces it",
    KeyStore.FILE: "in a file of its own, mode 0600",
    KeyStore.ENVIRONMENT: "from the environment of `ccrelay serve`",
}
_LISTEN = 'listen: "127.0.0.1:8787"'
_NO_TOKENS = """\
  # auth:                       # required for a non-loopback listen address
  #   tokens: ["${RELAY_TOKEN}"]
"""
_TOKENS = """\
  auth:                         # clients send it: ANTHROPIC_AUTH_TOKEN of Claude Code
    tokens: ["${RELAY_TOKEN}"]
"""


def config_text(
    choices: Sequence[Choice],
    references: Mapping[str, str],
    clouds: Sequence[FoundCloud] = (),
) -> str:
    """Return the configuration of providers that are settled, the preferred first.

    Args:
        choices: what to set up.
        references: name of a provider -> `${...}` of its key.
        clouds: found on this machine, for those that are chosen without settings.
    """
    head = HEAD
    if len(choices) > 1:  # in order, not all at once: prompt caches are of one provider
        head = head.replace("strategy: simple-shuffle", "strategy: failover")
    lines = {cloud.name: cloud.lines for cloud in clouds}
    blocks = []
    for choice in choices:
        is_as_found = choice.type in CLOUDS and not choice.settings and not choice.base_url
        if is_as_found and choice.name not in references and choice.type in lines:
            blocks.append("\n".join(_renamed(lines[choice.type], choice)) + "\n")
        else:
            blocks.append("\n".join(_block(choice, references.get(choice.name))) + "\n")
    return "\n".join([head, *blocks, TAIL])


def with_listen(text: str, listen: str) -> str:
    """The text with another listen address; one that others can reach asks for a token.

    Args:
        text: that begins with HEAD, or with one of its strategies.
        listen: HOST:PORT.

    Raises:
        SetupProblem: it is no address.
    """
    try:
        host, _ = split_listen(listen)
    except ValueError as error:
        raise SetupProblem(f"{error}.") from None
    text = text.replace(_LISTEN, f"listen: {json.dumps(listen)}", 1)
    if is_loopback(host):
        return text
    return text.replace(_NO_TOKENS, _TOKENS, 1)


def variables_of(text: str) -> list[str]:
    """The variables that a first configuration names, outside of comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return list(dict.fromkeys(_REFERENCE.findall("\n".join(lines))))


def _renamed(lines: Sequence[str], choice: Choice) -> list[str]:
    return [f"  - name: {_value(choice.name)}", *lines[1:]]


def _block(choice: Choice, reference: str | None) -> list[str]:
    lines = []
    if choice.type == "anthropic" and reference is None:
        lines.append("  # No keys: the client's own credential is passed through.")
    lines += [f"  - name: {_value(choice.name)}", f"    type: {choice.type}"]
    if choice.base_url:
        lines.append(f"    base_url: {_value(choice.base_url)}")
    settings = choice.settings
    lines += [f"    {name}: {_value(settings[name])}" for name in _MEMBERS if settings.get(name)]
    lines += _key(choice, reference)
    return lines + _models(choice)


def _key(choice: Choice, reference: str | None) -> list[str]:
    if reference is not None:
        store = choice.store or KeyStore.FILE
        kept = _KEPT[store].format(name=reference.partition(":")[2].rstrip("}"))
        return key_lines(f"key: {json.dumps(reference)}  # {kept}")
    if choice.type in CLOUDS:
        profile = choice.settings.get("profile")
        credential = f"{{profile: {_value(profile)}}}" if profile else "{}"
        return key_lines(f"credential: {credential}  # as the cloud's own tools find it")
    if choice.type == "compatible" and "auth" not in choice.settings:
        return ["    auth: none"]
    return []


def _models(choice: Choice) -> list[str]:
    """Which models it has, and which ones stand for Claude's."""
    if choice.type in OWN_NAMES:
        return []
    known = known_key(choice)
    if choice.model:
        small = large = choice.model
    elif known is not None:
        small, large = known.small, known.large
    else:
        return []  # Claude's names are sent as they are
    # Names and globs; Claude's are those of the mapping.
    own = list(known.models) if known is not None else [choice.model]
    lines = [f"    models: {json.dumps(own)}"]
    return lines + mapping_lines(_value(small), _value(large), active=True)


def _value(text: str) -> str:
    """A text as YAML, which nothing is filled into."""
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text.replace("${", "$${"))
