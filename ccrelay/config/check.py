"""What the types cannot say: combinations, addresses, secrets, names. All findings at once.

Works on the draft of `ccrelay.config.shape`, in which wrong values are replaced by defaults. A
finding about such a place is held back: it would only repeat the first one. So is a finding that
something is missing while an unknown key stands beside it: that may be the very thing, misspelt.
"""

from ccrelay.config.address import is_loopback, split_listen
from ccrelay.config.check_health import check_health
from ccrelay.config.check_provider import check_provider
from ccrelay.config.check_routing import check_routing
from ccrelay.config.findings import Findings
from ccrelay.config.model import Config, Server
from ccrelay.config.problems import Path, Problem

TOKEN_LENGTH_MIN = 8
LITERAL_SECRET = "the secret stands in the file; write ${VAR}, ${file:/path} or ${cmd:...} instead"


def check(
    config: Config,
    *,
    bad: frozenset[Path] = frozenset(),
    unknown: frozenset[Path] = frozenset(),
    expanded: frozenset[Path] | None = None,
) -> list[Problem]:
    """Return what is wrong (errors) and what should be known (warnings).

    Args:
        config: a draft, not resolved.
        bad: paths that already have a problem.
        unknown: those among them that are unknown keys.
        expanded: paths whose text came from `${...}`; None when there is no file, which turns the
            warning about secrets in the file off.
    """
    findings = Findings(bad, unknown)
    _check_server(config.server, findings)
    _check_providers(config, findings)
    check_routing(config, findings)
    check_health(config, findings)
    if config.logging.file is not None and not config.logging.file.strip():
        findings.error(("logging", "file"), "the path is empty")
    if expanded is not None:
        _check_literal_secrets(config, expanded, findings)
    return findings.problems


def _check_server(server: Server, findings: Findings) -> None:
    path: Path = ("server", "listen")
    try:
        host, _port = split_listen(server.listen)
    except ValueError as error:
        findings.error(path, f"not a listen address: {error}")
    else:
        if not is_loopback(host) and not server.auth.tokens:
            findings.missing(
                path,
                "anything but loopback needs server.auth.tokens: without them everyone who "
                "reaches this address can spend your keys",
                needs=("auth",),
                unless=(("server", "auth"),),
            )
    for index, token in enumerate(server.auth.tokens):
        findings.secret(("server", "auth", "tokens", index), token, "a token", TOKEN_LENGTH_MIN)
    for name in ("allowed_hosts", "allowed_origins"):
        for index, entry in enumerate(getattr(server, name)):
            _check_allowed(("server", name, index), entry, findings)


def _check_allowed(path: Path, entry: str, findings: Findings) -> None:
    if not entry or not entry.isprintable() or " " in entry:
        findings.error(path, "empty, or with white space or control characters")
    elif path[1] == "allowed_origins":
        scheme, separator, host = entry.partition("://")
        if entry != "*" and not (scheme and separator and host and "/" not in host):
            findings.error(path, "an origin is SCHEME://HOST or SCHEME://HOST:PORT, without a path")
    elif "/" in entry:
        findings.error(path, "a host is a name or an address, without scheme and path")


def _check_providers(config: Config, findings: Findings) -> None:
    first: dict[str, int] = {}
    for index, provider in enumerate(config.providers):
        path: Path = ("providers", index)
        if provider.name and provider.name in first:
            message = f"providers[{first[provider.name]}] has this name already"
            findings.error((*path, "name"), message)
        first.setdefault(provider.name, index)
        check_provider(provider, path, findings)
    if not config.providers:
        findings.missing(
            ("providers",),
            "no providers: name at least one (`ccrelay config init` writes a start)",
            needs=("providers",),
        )
    elif not any(provider.enabled for provider in config.providers):
        findings.error(("providers",), "every provider is disabled; at least one must be enabled")


def _check_literal_secrets(config: Config, expanded: frozenset[Path], findings: Findings) -> None:
    for index, token in enumerate(config.server.auth.tokens):
        path: Path = ("server", "auth", "tokens", index)
        if token and path not in expanded:
            findings.warning(path, LITERAL_SECRET)
    for number, provider in enumerate(config.providers):
        for index, key in enumerate(provider.keys):
            path = ("providers", number, "keys", index, "key")
            if key.key and path not in expanded:
                findings.warning(path, LITERAL_SECRET)
