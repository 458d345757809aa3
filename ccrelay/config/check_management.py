"""Checks of the sections `management` and `ledger`."""

from ccrelay.config.address import is_loopback, split_listen
from ccrelay.config.findings import Findings
from ccrelay.config.model import Config, Management
from ccrelay.config.problems import Path

# Not Ed25519: neither gRPC's own clients nor browsers take such a certificate.
_NEW_CERTIFICATE = (
    "`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 "
    "-subj /CN=HOST -addext subjectAltName=DNS:HOST -keyout key.pem -out cert.pem` "
    "makes a pair for HOST"
)


def check_management(config: Config, findings: Findings) -> None:
    """Report addresses that are invalid, taken by `server`, or open to others without TLS."""
    settings = config.management
    if settings.listen is not None:
        _check_listen(config, settings.listen, findings)
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        text = getattr(settings, name)
        if text is None:
            continue
        if not text.strip():
            findings.error(("management", name), "must not be empty")
        elif getattr(settings, other) is None:
            message = f"management.{name} needs management.{other}, too: TLS takes both"
            findings.missing(("management", name), message, needs=(other,))
    if config.ledger.path is not None and not config.ledger.path.strip():
        findings.error(("ledger", "path"), "must not be empty")


def _check_listen(config: Config, listen: str, findings: Findings) -> None:
    path: Path = ("management", "listen")
    try:
        host, port = split_listen(listen)
    except ValueError as error:
        # The text names the port of the other listener.
        problem = str(error).replace("8787", "8789")
        findings.wrong(path, f"invalid listen address {{}}: {problem}", listen)
        return
    settings = config.management
    if not is_loopback(host) and not _has_tls(settings):
        findings.missing(
            path,
            "a non-loopback address requires management.tls_cert and management.tls_key: without "
            f"them anyone on the way can read the token; {_NEW_CERTIFICATE}",
            needs=("tls_cert", "tls_key"),
            unless=(("management", "tls_cert"), ("management", "tls_key")),
        )
    if port and not findings.is_invalid(("server", "listen")) and port == _port(config):
        message = f"port {port} is that of server.listen; use another one, such as 8789"
        findings.error(path, message)


def _has_tls(settings: Management) -> bool:
    return settings.tls_cert is not None and settings.tls_key is not None


def _port(config: Config) -> int:
    try:
        return split_listen(config.server.listen)[1]
    except ValueError:  # has a finding of its own
        return 0
