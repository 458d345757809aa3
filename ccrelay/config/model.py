"""The configuration as typed, frozen Structs, used by all packages.

Every field has a default and a `Meta(description=...)`, from which the reference page and
`ccrelay config schema` are generated. Secrets are plain strings after expansion; they are printed
only as fingerprints (`ccrelay.config.fingerprint`) and are not part of any `repr`.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from ccrelay.config.model_provider import (
    AuthStyle,
    BedrockApi,
    Billing,
    CountTokens,
    Credential,
    CredentialSource,
    Health,
    InferenceProfile,
    Key,
    KeyStrategy,
    Model,
    Preset,
    Price,
    Probe,
    Provider,
    ProviderType,
    Signatures,
    SystemRole,
    ToolTypeCustom,
)
from ccrelay.config.model_routing import (
    Affinity,
    Panic,
    RequestKind,
    RetryBudget,
    Routing,
    Rule,
    StrategyName,
    UpstreamTimeouts,
    Use,
    When,
)
from ccrelay.config.section import Seconds, Section

Level = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class Auth(Section, frozen=True):
    """Client authentication."""

    tokens: Annotated[
        list[str],
        Meta(
            description="Tokens that clients send as x-api-key or Bearer, at least 8 characters "
            "each, 16 if listen is not loopback. Empty: any credential is accepted, on loopback "
            "only."
        ),
    ] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Auth tokens={len(self.tokens)}>"


class Limits(Section, frozen=True):
    """Limits of client requests and connections."""

    head_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 20, description="Request line and headers, bytes; 431 above.")
    ] = 65_536
    header_count_max: Annotated[
        int, Meta(ge=8, le=256, description="Header fields of a request; 431 above.")
    ] = 128
    body_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            le=1 << 30,
            description="Request body, bytes; 413 above. Anthropic's limit is 32 MB.",
        ),
    ] = 33_554_432
    replay_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 40,
            description="Memory of a worker for request bodies kept for retries, bytes. One "
            "client may use three quarters of what the others leave.",
        ),
    ] = 268_435_456
    memory_bytes_max: Annotated[
        Annotated[int, Meta(ge=1 << 20, le=1 << 40)] | None,
        Meta(
            description="Memory of a worker for all that it holds for clients, bytes: bodies, "
            "unfinished heads, pipelined requests, responses for slow clients. Default: "
            "replay_bytes_max and 64 MB more.",
        ),
    ] = None
    body_rate_min: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 30,
            description="Least rate of a request body, bytes per second; 408 when it is "
            "timeouts.body_slow_s behind. 0: none.",
        ),
    ] = 1024
    event_bytes_max: Annotated[
        int,
        Meta(
            ge=65_536,
            le=1 << 30,
            description="Largest event that is inspected, bytes; larger ones are only forwarded.",
        ),
    ] = 262_144
    connections_max: Annotated[
        Annotated[int, Meta(ge=0, le=1 << 24)] | None,
        Meta(
            description="Client connections per worker. Default, and 0: half of the open-files "
            "limit, after a reserve of 64.",
        ),
    ] = None
    unadmitted_per_address_max: Annotated[
        Annotated[int, Meta(ge=0, le=1 << 24)] | None,
        Meta(
            description="Client connections of one address (IPv6: of one /64) before their first "
            "admitted request; more are closed. Default: a quarter of connections_max; 0: no "
            "limit.",
        ),
    ] = None


class ServerTimeouts(Section, frozen=True):
    """Timeouts of client connections, seconds."""

    head_s: Annotated[
        Seconds,
        Meta(
            description="From the first byte of a request to the end of its headers; then 408. "
            "Also the idle time of a connection without an admitted request."
        ),
    ] = 15.0
    body_idle_s: Annotated[
        Seconds, Meta(description="Idle time while a request body is received; then 408.")
    ] = 60.0
    body_slow_s: Annotated[
        Seconds,
        Meta(description="How far a request body may be behind limits.body_rate_min; then 408."),
    ] = 60.0
    keepalive_s: Annotated[
        Seconds, Meta(description="Idle time after which a client connection is closed.")
    ] = 300.0
    write_stall_s: Annotated[
        Seconds, Meta(description="A client that reads nothing for this long is disconnected.")
    ] = 120.0
    drain_s: Annotated[
        Seconds, Meta(description="Time for running exchanges to finish after SIGTERM.")
    ] = 60.0


class Server(Section, frozen=True):
    """Listener, workers, client limits."""

    listen: Annotated[
        str,
        Meta(
            extra={"expects": 'HOST:PORT, such as "127.0.0.1:8787"'},
            description="HOST:PORT or [IPV6]:PORT; port 0 binds a free one. `[::]` is every "
            "address of both families, `0.0.0.0` every IPv4 address. Addresses other than loopback "
            "require auth.tokens.",
        ),
    ] = "127.0.0.1:8787"
    workers: Annotated[int, Meta(ge=1, le=256, description="Worker processes.")] = 1
    watch: Annotated[
        bool, Meta(description="Reload when the configuration file changes, as with SIGHUP.")
    ] = True
    auth: Annotated[Auth, Meta(description="Client authentication.")] = field(default_factory=Auth)
    allowed_hosts: Annotated[
        list[str],
        Meta(
            description="Accepted Host header values, in addition to loopback names and the "
            "listen address; '*' accepts any."
        ),
    ] = field(default_factory=list)
    allowed_origins: Annotated[
        list[str], Meta(description="Accepted Origin header values (browsers).")
    ] = field(default_factory=list)
    limits: Annotated[Limits, Meta(description="Limits of client requests and connections.")] = (
        field(default_factory=Limits)
    )
    timeouts: Annotated[ServerTimeouts, Meta(description="Timeouts of client connections.")] = (
        field(default_factory=ServerTimeouts)
    )


class Logging(Section, frozen=True):
    """Log output."""

    level: Annotated[Level, Meta(description="Minimum level.")] = "info"
    format: Annotated[LogFormat, Meta(description="Line format: readable text, or JSON.")] = "text"
    file: Annotated[
        str | None, Meta(description="Path of the log file; default: standard error.")
    ] = None
    exchanges: Annotated[bool, Meta(description="Log one line per exchange.")] = True


class Management(Section, frozen=True):
    """The management plane: a process of its own with gRPC, the ledger and metrics."""

    enabled: Annotated[
        bool, Meta(description="false: no manager, no ledger, no `ccrelay status`.")
    ] = True
    listen: Annotated[
        str | None,
        Meta(
            extra={"expects": 'HOST:PORT, such as "127.0.0.1:8789"'},
            description="HOST:PORT for browsers, scrapers and gRPC clients that send the token. "
            "Default: 127.0.0.1:8789, or a free port where that is taken. Addresses other than "
            "loopback require tls_cert and tls_key.",
        ),
    ] = None
    allowed_hosts: Annotated[
        list[str],
        Meta(description="Accepted Host header values, in addition to loopback names."),
    ] = field(default_factory=list)
    tls_cert: Annotated[
        str | None, Meta(description="Path of the certificate chain for listen, PEM.")
    ] = None
    tls_key: Annotated[str | None, Meta(description="Path of its private key, PEM.")] = None


class Ledger(Section, frozen=True):
    """What is kept of exchanges: counts, times, costs; never prompts or answers."""

    enabled: Annotated[bool, Meta(description="false: nothing is kept.")] = True
    path: Annotated[
        str | None,
        Meta(description="Path of the SQLite file; default: $XDG_STATE_HOME/ccrelay/ledger.db."),
    ] = None
    keep_days: Annotated[
        int,
        Meta(
            ge=1,
            le=36_500,
            description="Days that single exchanges are kept; sums by the hour are kept for ever.",
        ),
    ] = 90


class Telemetry(Section, frozen=True):
    """Traces and metrics for an OpenTelemetry collector; needs the extra `otel`."""

    otlp_endpoint: Annotated[
        str | None,
        Meta(
            extra={"expects": 'an http or https URL, such as "http://127.0.0.1:4318"'},
            description="Base URL of the collector's OTLP/HTTP receiver; `/v1/traces` and "
            "`/v1/metrics` are added. Default: OTEL_EXPORTER_OTLP_ENDPOINT and its kin; without "
            "them nothing is sent.",
        ),
    ] = None
    headers: Annotated[
        dict[str, str],
        Meta(description="Headers for the collector, such as its token; secret."),
    ] = field(default_factory=dict)
    traces: Annotated[bool, Meta(description="Send a trace of every exchange.")] = True
    metrics: Annotated[bool, Meta(description="Send metrics.")] = True

    def __repr__(self) -> str:
        # Without headers and URL: either may contain a secret.
        return f"<Telemetry traces={self.traces} metrics={self.metrics}>"


class Config(Section, frozen=True):
    """The configuration."""

    server: Annotated[Server, Meta(description="Listener, workers, client limits.")] = field(
        default_factory=Server
    )
    routing: Annotated[Routing, Meta(description="Selection of a provider and retries.")] = field(
        default_factory=Routing
    )
    providers: Annotated[
        list[Provider], Meta(description="Upstream services; at least one must be enabled.")
    ] = field(default_factory=list)
    health: Annotated[Health, Meta(description="Circuit breakers, probes, key cooldowns.")] = field(
        default_factory=Health
    )
    logging: Annotated[Logging, Meta(description="Log output.")] = field(default_factory=Logging)
    management: Annotated[
        Management,
        Meta(description="The management plane: gRPC, ledger, metrics."),
    ] = field(default_factory=Management)
    ledger: Annotated[Ledger, Meta(description="What is kept of exchanges.")] = field(
        default_factory=Ledger
    )
    telemetry: Annotated[
        Telemetry, Meta(description="Traces and metrics for an OpenTelemetry collector.")
    ] = field(default_factory=Telemetry)


__all__ = [
    "Affinity",
    "Auth",
    "AuthStyle",
    "BedrockApi",
    "Billing",
    "Config",
    "CountTokens",
    "Credential",
    "CredentialSource",
    "Health",
    "InferenceProfile",
    "Key",
    "KeyStrategy",
    "Ledger",
    "Level",
    "Limits",
    "LogFormat",
    "Logging",
    "Management",
    "Model",
    "Panic",
    "Preset",
    "Price",
    "Probe",
    "Provider",
    "ProviderType",
    "RequestKind",
    "RetryBudget",
    "Routing",
    "Rule",
    "Server",
    "ServerTimeouts",
    "Signatures",
    "StrategyName",
    "SystemRole",
    "Telemetry",
    "ToolTypeCustom",
    "UpstreamTimeouts",
    "Use",
    "When",
]
