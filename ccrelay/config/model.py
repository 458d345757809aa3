"""The configuration as typed, frozen Structs: the one shape that every floor reads.

Every field has its default here and its meaning in `Meta(description=...)`; the reference page and
`ccrelay config schema` are generated from these. Secrets are plain strings after expansion and live
nowhere else; they are shown only as fingerprints (`ccrelay.config.fingerprint`) and stay out of
every `repr`.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from ccrelay.config.model_provider import (
    AuthStyle,
    CountTokens,
    Health,
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
    """Who may use the relay."""

    tokens: Annotated[
        list[str],
        Meta(
            description="Relay tokens that clients send as x-api-key or Bearer, 8 characters or "
            "more. None: any credential is accepted, on loopback only."
        ),
    ] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Auth tokens={len(self.tokens)}>"


class Limits(Section, frozen=True):
    """Bounds on what clients may send. Each has its own error."""

    head_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 20, description="Request line and headers, bytes (431 beyond).")
    ] = 65_536
    header_count_max: Annotated[
        int, Meta(ge=8, le=256, description="Header fields of a request (431 beyond).")
    ] = 128
    body_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            le=1 << 30,
            description="Request body, bytes (413 beyond). Anthropic takes 32 MB.",
        ),
    ] = 33_554_432
    replay_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 40,
            description="Memory a worker spends on copies of request bodies kept for a retry, "
            "bytes.",
        ),
    ] = 268_435_456
    event_bytes_max: Annotated[
        int,
        Meta(
            ge=65_536,
            le=1 << 30,
            description="Largest event kept for inspection, bytes; larger ones pass uninspected.",
        ),
    ] = 262_144
    connections_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 24,
            description="Client connections of one worker; 0: as many as open files allow.",
        ),
    ] = 0


class ServerTimeouts(Section, frozen=True):
    """Time limits towards the client, seconds."""

    head_s: Annotated[
        Seconds,
        Meta(description="From the first byte of a request to the end of its head (408 beyond)."),
    ] = 15.0
    body_idle_s: Annotated[
        Seconds, Meta(description="Silence while a request body is being sent (408 beyond).")
    ] = 60.0
    keepalive_s: Annotated[
        Seconds, Meta(description="Idle time of a client connection before it is closed.")
    ] = 300.0
    write_stall_s: Annotated[
        Seconds, Meta(description="A client that takes no byte for this long is cut off.")
    ] = 120.0
    drain_s: Annotated[
        Seconds, Meta(description="On SIGTERM, running exchanges get this long to finish.")
    ] = 60.0


class Server(Section, frozen=True):
    """Where the relay listens and what it accepts."""

    listen: Annotated[
        str,
        Meta(
            description="HOST:PORT or [IPV6]:PORT; port 0 takes a free one. Anything but loopback "
            "needs auth.tokens."
        ),
    ] = "127.0.0.1:8787"
    workers: Annotated[int, Meta(ge=1, le=256, description="Worker processes.")] = 1
    watch: Annotated[
        bool, Meta(description="Reload when the configuration file changes, as on SIGHUP.")
    ] = True
    auth: Annotated[Auth, Meta(description="Who may use the relay.")] = field(default_factory=Auth)
    allowed_hosts: Annotated[
        list[str],
        Meta(
            description="Host header values accepted besides loopback names and the listen "
            "address; '*' accepts any."
        ),
    ] = field(default_factory=list)
    allowed_origins: Annotated[
        list[str], Meta(description="Browser origins accepted; none by default.")
    ] = field(default_factory=list)
    limits: Annotated[Limits, Meta(description="Bounds on what clients may send.")] = field(
        default_factory=Limits
    )
    timeouts: Annotated[ServerTimeouts, Meta(description="Time limits towards the client.")] = (
        field(default_factory=ServerTimeouts)
    )


class Logging(Section, frozen=True):
    """What is written where."""

    level: Annotated[Level, Meta(description="The least severe line that is written.")] = "info"
    format: Annotated[LogFormat, Meta(description="text for people, json for machines.")] = "text"
    file: Annotated[str | None, Meta(description="Path; default standard error.")] = None
    exchanges: Annotated[bool, Meta(description="One line per exchange.")] = True


class Config(Section, frozen=True):
    """The whole configuration."""

    server: Annotated[Server, Meta(description="Where the relay listens.")] = field(
        default_factory=Server
    )
    routing: Annotated[Routing, Meta(description="How a provider is chosen.")] = field(
        default_factory=Routing
    )
    providers: Annotated[
        list[Provider], Meta(description="The upstream services, at least one of them enabled.")
    ] = field(default_factory=list)
    health: Annotated[Health, Meta(description="How failing endpoints are avoided.")] = field(
        default_factory=Health
    )
    logging: Annotated[Logging, Meta(description="What is written where.")] = field(
        default_factory=Logging
    )


__all__ = [
    "Affinity",
    "Auth",
    "AuthStyle",
    "Config",
    "CountTokens",
    "Health",
    "Key",
    "KeyStrategy",
    "Level",
    "Limits",
    "LogFormat",
    "Logging",
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
    "ToolTypeCustom",
    "UpstreamTimeouts",
    "Use",
    "When",
]
