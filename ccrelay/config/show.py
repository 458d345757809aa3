"""The effective configuration as plain data, secrets as fingerprints."""

from collections.abc import Iterable
from typing import Any

import msgspec

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Auth, Config, Credential, Key, Provider, Telemetry, When
from ccrelay.config.problems import Path

NOT_RUN = "(of a command or the keychain, not asked here)"
# Segments of services' base URLs: those of the types and presets, and of common gateways.
_PATH_WORDS = frozenset(
    {
        *("", "api", "anthropic", "v1", "v2", "v3", "v4", "beta", "messages", "claude"),
        *("coding", "paas", "proxy", "gateway", "llm", "ai", "relay", "openai", "compatible-mode"),
        *("projects", "locations", "workspaces", "invoke", "global", "us", "eu"),
    }
)


def redacted(config: Config, *, not_run: Iterable[Path] = ()) -> dict[str, Any]:
    """Return the configuration as plain data that is safe to print.

    Keys, relay tokens, and values of headers, sent or matched by a rule, are replaced by
    fingerprints, because they may be credentials; so are the paths of base URLs, but for words that
    services have there. Members that are None are omitted.

    Args:
        config: resolved.
        not_run: places of values that only a command could tell.
    """
    plain: dict[str, Any] = _plain(config)
    for *way, last in not_run:
        place: Any = plain
        for part in way:
            place = place[part]
        place[last] = NOT_RUN
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        hidden = _hidden(value)
        members = {name: getattr(value, name) for name in value.__struct_fields__}
        return {
            name: hidden.get(name, _plain(member))
            for name, member in members.items()
            if member is not None
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _hidden(section: msgspec.Struct) -> dict[str, Any]:
    """Return the redacted values of the secret members of a section."""
    if isinstance(section, Key):
        return {"key": fingerprint(section.key)}
    if isinstance(section, Credential):
        secret = section.client_secret
        return {} if secret is None else {"client_secret": fingerprint(secret)}
    if isinstance(section, Auth):
        return {"tokens": [fingerprint(token) for token in section.tokens]}
    if isinstance(section, Provider):
        hidden: dict[str, Any] = {"headers": _fingerprints(section.headers)}
        if section.base_url is not None:
            hidden["base_url"] = shown_url(section.base_url)
        return hidden
    if isinstance(section, Telemetry):
        hidden = {"headers": _fingerprints(section.headers)}
        if section.otlp_endpoint is not None:
            hidden["otlp_endpoint"] = shown_url(section.otlp_endpoint)
        return hidden
    if isinstance(section, When):
        return {"headers": _fingerprints(section.headers)}
    return {}


def shown_url(url: str) -> str:
    """Return a base URL as it may be shown: an unknown part of its path may be a credential."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    segments = [part if part in _PATH_WORDS else fingerprint(part) for part in path.split("/")]
    return scheme + separator + host.rpartition("@")[2] + slash + "/".join(segments)


def _fingerprints(headers: dict[str, str]) -> dict[str, str]:
    # `*` says that the header is present.
    return {name: v if v == "*" else fingerprint(v) for name, v in headers.items()}
