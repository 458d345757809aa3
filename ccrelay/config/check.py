"""Semantic checks beyond types: combinations, addresses, secrets, names. Reports all findings.

Works on the draft of `ccrelay.config.validate`, in which invalid values are replaced by defaults.
Findings about such values are dropped, because they would repeat the first error, and so are
findings about a missing key next to an unknown one, which may be its misspelling.
"""

import re

from ccrelay.config.address import is_loopback, split_listen
from ccrelay.config.check_health import check_health
from ccrelay.config.check_management import check_management
from ccrelay.config.check_provider import check_provider, identity
from ccrelay.config.check_routing import check_routing
from ccrelay.config.check_telemetry import CREDENTIAL_HEADERS, check_telemetry
from ccrelay.config.cloud import is_cloud, resolved_keys
from ccrelay.config.findings import Findings
from ccrelay.config.model import Config, Key, Provider, Server
from ccrelay.config.problems import Path, Problem
from ccrelay.config.resolve import base_url_of

TOKEN_LENGTH_MIN = 8
_DEFAULT_PORT = re.compile(r"\A(?:(https://[^/]*):443|(http://[^/]*):80)(?=/|\Z)")
# Off loopback anyone who can connect can guess: 16 random characters of base64 have 96 bits.
TOKEN_LENGTH_MIN_EXPOSED = 16
_NEW_TOKEN = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
PLAIN_TEXT_SECRET = "secret in plain text; use ${VAR}, ${file:/path} or ${cmd:...} instead"


def check(
    config: Config,
    *,
    invalid: frozenset[Path] = frozenset(),
    unknown: frozenset[Path] = frozenset(),
    expanded: frozenset[Path] | None = None,
) -> list[Problem]:
    """Return errors and warnings.

    Args:
        config: a draft, not resolved.
        invalid: paths that already have a problem.
        unknown: those of them that are unknown keys.
        expanded: paths whose text came from `${...}`; None when there is no file: then there is
            no warning about secrets in plain text.
    """
    findings = Findings(invalid, unknown, expanded or frozenset())
    _check_server(config.server, findings)
    _check_providers(config, findings)
    check_routing(config, findings)
    check_health(config, findings)
    check_telemetry(config.telemetry, findings)
    check_management(config, findings)
    for index, entry in enumerate(config.management.allowed_hosts):
        _check_allowed(("management", "allowed_hosts", index), entry, findings)
    if config.logging.file is not None and not config.logging.file.strip():
        findings.error(("logging", "file"), "must not be empty")
    if expanded is not None:
        _check_plain_text_secrets(config, expanded, findings)
    return findings.problems


def _check_server(server: Server, findings: Findings) -> None:
    path: Path = ("server", "listen")
    is_exposed = False
    try:
        host, _port = split_listen(server.listen)
    except ValueError as error:
        findings.wrong(path, f"invalid listen address {{}}: {error}", server.listen)
    else:
        is_exposed = not is_loopback(host)
        if is_exposed and not server.auth.tokens:
            findings.missing(
                path,
                "a non-loopback address requires server.auth.tokens: without them anyone who "
                "can connect can use your API keys",
                needs=("auth",),
                unless=(("server", "auth"),),
            )
    for index, token in enumerate(server.auth.tokens):
        place: Path = ("server", "auth", "tokens", index)
        if is_exposed and TOKEN_LENGTH_MIN <= len(token) < TOKEN_LENGTH_MIN_EXPOSED:
            findings.error(
                place,
                f"a token is shorter than {TOKEN_LENGTH_MIN_EXPOSED} characters, and server.listen "
                f"is not a loopback address: make a new one with {_NEW_TOKEN}",
            )
        findings.secret(place, token, "a token", TOKEN_LENGTH_MIN)
    for name in ("allowed_hosts", "allowed_origins"):
        for index, entry in enumerate(getattr(server, name)):
            _check_allowed(("server", name, index), entry, findings)


def _check_allowed(path: Path, entry: str, findings: Findings) -> None:
    if not entry or not entry.isprintable() or " " in entry:
        findings.wrong(path, "must not be empty or contain whitespace or control characters", entry)
    elif path[1] == "allowed_origins":
        scheme, separator, host = entry.partition("://")
        if entry != "*" and not (scheme and separator and host and "/" not in host):
            message = "invalid origin: use SCHEME://HOST or SCHEME://HOST:PORT, without a path"
            findings.wrong(path, message, entry)
    elif "/" in entry:
        message = "invalid host: use a name or an address, without scheme and path"
        findings.wrong(path, message, entry)


def _check_providers(config: Config, findings: Findings) -> None:
    first: dict[str, int] = {}
    for index, provider in enumerate(config.providers):
        path: Path = ("providers", index)
        if provider.name and provider.name in first:
            other = f"providers[{first[provider.name]}]"
            message = f"duplicate provider name {{}}, also used by {other}"
            findings.wrong((*path, "name"), message, provider.name)
        first.setdefault(provider.name, index)
        check_provider(provider, path, findings)
    _check_shared_keys(config, findings)
    if not config.providers:
        findings.missing(
            ("providers",),
            "no providers: add at least one (`ccrelay init` writes a starter file)",
            needs=("providers",),
        )
    elif not any(provider.enabled for provider in config.providers):
        findings.error(("providers",), "every provider is disabled; at least one must be enabled")


def _check_shared_keys(config: Config, findings: Findings) -> None:
    """One key at one base URL has one limit, which two providers would count by halves."""
    first: dict[tuple[str, ...], int] = {}
    for index, provider in enumerate(config.providers):
        base_url = base_url_of(provider)
        if not (provider.enabled and base_url):
            continue
        url = _DEFAULT_PORT.sub(r"\1\2", base_url.lower()).rstrip("/")
        for number, key in enumerate(provider.keys or _default_chain(provider)):
            member, own = identity(key)
            if not (key.enabled and own):
                continue
            other = first.setdefault((url, *_quota(provider), own), index)
            if other != index:
                message = (
                    f"also a {member} of providers[{other}], at the same base_url: each would "
                    "count half of its use; name it once"
                )
                findings.error(("providers", index, "keys", number, member), message)


def _default_chain(provider: Provider) -> list[Key]:
    return resolved_keys(provider) if is_cloud(provider) else []


def _quota(provider: Provider) -> tuple[str, ...]:
    """What a cloud has a quota of its own for, besides base URL and credential."""
    if not is_cloud(provider):
        return ()
    profile = provider.inference_profile or "geo"
    return (provider.project or "", provider.workspace or "", provider.api or "", profile)


def _check_plain_text_secrets(
    config: Config, expanded: frozenset[Path], findings: Findings
) -> None:
    for index, token in enumerate(config.server.auth.tokens):
        path: Path = ("server", "auth", "tokens", index)
        if token and path not in expanded:
            findings.warning(path, PLAIN_TEXT_SECRET)
    for number, provider in enumerate(config.providers):
        for index, key in enumerate(provider.keys):
            path = ("providers", number, "keys", index, "key")
            if key.key and path not in expanded:
                findings.warning(path, PLAIN_TEXT_SECRET)
            path = (*path[:-1], "credential", "client_secret")
            secret = key.credential.client_secret if key.credential is not None else None
            if secret and path not in expanded:
                findings.warning(path, PLAIN_TEXT_SECRET)
    for name, value in config.telemetry.headers.items():
        path = ("telemetry", "headers", name)
        if value and path not in expanded and name.lower() in CREDENTIAL_HEADERS:
            findings.warning(path, PLAIN_TEXT_SECRET)
