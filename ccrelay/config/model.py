"""The configuration as typed, frozen Structs: the one shape that every floor reads.

Every field has its default here and its meaning in `Meta(description=...)`; the reference page and
`ccrelay config schema` are generated from these. Secrets are plain strings after expansion and live
nowhere else; they are shown only as fingerprints (`ccrelay.config.fingerprint`).
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]

ProviderType = Literal["anthropic", "zai", "ollama", "compatible"]
Preset = Literal["minimax", "kimi", "deepseek", "openrouter"]
AuthStyle = Literal["x-api-key", "bearer", "none"]
Strategy = Literal["simple-shuffle", "failover"]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Auth(_Section):
    """Who may use the relay."""

    tokens: Annotated[
        list[str],
        Meta(
            description="Relay tokens that clients send as x-api-key or Bearer. None: any credential is accepted, on loopback only."
        ),
    ] = field(default_factory=list)


class Limits(_Section):
    """Bounds on what clients may send. Each has its own error."""

    head_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 20, description="Request line and headers, bytes (431 beyond).")
    ] = 65_536
    header_count_max: Annotated[
        int, Meta(ge=8, le=1000, description="Header fields of a request (431 beyond).")
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
            description="Memory a worker spends on copies of request bodies kept for a retry, bytes.",
        ),
    ] = 268_435_456
    event_bytes_max: Annotated[
        int,
        Meta(
            ge=65_536,
            description="Largest event kept for inspection, bytes; larger ones pass uninspected.",
        ),
    ] = 262_144
    connections_max: Annotated[
        int,
        Meta(ge=0, description="Client connections of one worker; 0: as many as open files allow."),
    ] = 0


class ServerTimeouts(_Section):
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


class Server(_Section):
    """Where the relay listens and what it accepts."""

    listen: Annotated[
        str, Meta(description="HOST:PORT. Anything but loopback needs auth.tokens.")
    ] = "127.0.0.1:8787"
    workers: Annotated[int, Meta(ge=1, le=256, description="Worker processes.")] = 1
    auth: Auth = field(default_factory=Auth)
    allowed_hosts: Annotated[
        list[str],
        Meta(
            description="Host header values accepted besides loopback names and the listen address; '*' accepts any."
        ),
    ] = field(default_factory=list)
    allowed_origins: Annotated[
        list[str], Meta(description="Browser origins accepted; none by default.")
    ] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    timeouts: ServerTimeouts = field(default_factory=ServerTimeouts)


class UpstreamTimeouts(_Section):
    """Time limits towards the provider, seconds."""

    connect_s: Annotated[
        Seconds, Meta(description="TCP, proxy CONNECT and TLS handshake together.")
    ] = 10.0
    first_byte_s: Annotated[
        Seconds, Meta(description="From the request's last byte to the first byte of the response.")
    ] = 600.0
    idle_s: Annotated[
        Seconds, Meta(description="Silence between events of a stream; pings do not count as life.")
    ] = 600.0
    total_s: Annotated[Seconds, Meta(description="A whole exchange.")] = 3600.0


class Routing(_Section):
    """How a provider is chosen."""

    strategy: Annotated[
        Strategy,
        Meta(
            description="simple-shuffle: weighted random; failover: the first that can be reached, in order."
        ),
    ] = "simple-shuffle"
    ping_s: Annotated[
        Seconds,
        Meta(description="Upstream silence on a stream after which the relay sends its own ping."),
    ] = 12.0
    early_head_s: Annotated[
        Seconds,
        Meta(
            description="A streaming request without upstream head for this long gets 200 and pings, so that no client deadline passes."
        ),
    ] = 45.0
    timeouts: UpstreamTimeouts = field(default_factory=UpstreamTimeouts)
    pool_idle_s: Annotated[
        Seconds, Meta(description="Idle upstream connections are closed after this long.")
    ] = 60.0
    pool_idle_max: Annotated[
        int, Meta(ge=0, description="Idle upstream connections kept per endpoint.")
    ] = 256


class Key(_Section):
    """One credential of a provider."""

    key: Annotated[
        str,
        Meta(
            min_length=1, description="The secret; write it as ${VAR}, ${file:/path} or ${cmd:...}."
        ),
    ]
    name: Annotated[str | None, Meta(description="Shown beside the fingerprint.")] = None
    weight: Annotated[int, Meta(ge=0, le=1000, description="Share among the provider's keys.")] = 1
    priority: Annotated[int, Meta(ge=0, description="Reserved for key pools.")] = 0
    rpm_limit: Annotated[
        Positive | None, Meta(description="Requests per minute. Checked, not enforced yet.")
    ] = None
    tpm_limit: Annotated[
        Positive | None, Meta(description="Tokens per minute. Checked, not enforced yet.")
    ] = None
    itpm_limit: Annotated[
        Positive | None, Meta(description="Input tokens per minute. Checked, not enforced yet.")
    ] = None
    otpm_limit: Annotated[
        Positive | None, Meta(description="Output tokens per minute. Checked, not enforced yet.")
    ] = None
    max_concurrent: Annotated[
        Positive | None, Meta(description="Exchanges at once. Checked, not enforced yet.")
    ] = None
    enabled: bool = True


class Model(_Section):
    """A model as shown by GET /v1/models."""

    id: Annotated[str, Meta(min_length=1)]
    display_name: str | None = None
    description: str | None = None
    max_input_tokens: Positive | None = None


class Provider(_Section):
    """One upstream service: a dialect, a base URL, its keys."""

    name: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Unique; appears in logs."),
    ]
    type: Annotated[ProviderType, Meta(description="The dialect it speaks.")] = "compatible"
    preset: Annotated[
        Preset | None,
        Meta(description="Base URL, auth and quirks of a known service (type compatible)."),
    ] = None
    base_url: Annotated[str | None, Meta(description="What stands before /v1/messages.")] = None
    auth: Annotated[AuthStyle | None, Meta(description="How the key is sent; default by type.")] = (
        None
    )
    keys: Annotated[
        list[Key],
        Meta(description="None, with type anthropic: the client's own credential passes through."),
    ] = field(default_factory=list)
    enabled: bool = True
    weight: Annotated[int, Meta(ge=0, le=1000, description="Share under simple-shuffle.")] = 1
    model_mapping: Annotated[
        dict[str, str],
        Meta(description="Model asked for (name or glob) -> model sent; the first match wins."),
    ] = field(default_factory=dict)
    models: Annotated[
        list[str | Model] | None,
        Meta(
            description="Models served under their own name (names or globs). Default by type: anthropic claude-*."
        ),
    ] = None
    discover_models: Annotated[
        bool, Meta(description="Ask the provider for its list when GET /v1/models is answered.")
    ] = False
    headers: Annotated[
        dict[str, str], Meta(description="Static headers added to each request.")
    ] = field(default_factory=dict)
    drop_betas: Annotated[
        list[str] | None,
        Meta(description="anthropic-beta values not sent to this provider; '*' drops the header."),
    ] = None
    system_role: Annotated[
        Literal["keep", "user"] | None,
        Meta(description="What becomes of role:system turns inside messages; default by type."),
    ] = None
    count_tokens: Annotated[
        Literal["forward", "estimate"] | None,
        Meta(description="Whether count_tokens is forwarded or estimated; default by type."),
    ] = None
    timeouts: Annotated[
        UpstreamTimeouts | None, Meta(description="Instead of routing.timeouts.")
    ] = None


class Health(_Section):
    """How failing endpoints are avoided."""

    rest_s: Annotated[
        Seconds,
        Meta(description="First rest of an endpoint that could not be reached; doubles each time."),
    ] = 1.0
    rest_max_s: Annotated[Seconds, Meta(description="Longest rest.")] = 30.0


class Logging(_Section):
    """What is written where."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file: Annotated[str | None, Meta(description="Path; default standard error.")] = None
    exchanges: Annotated[bool, Meta(description="One line per exchange.")] = True


class Config(_Section):
    """The whole configuration."""

    server: Server = field(default_factory=Server)
    routing: Routing = field(default_factory=Routing)
    providers: list[Provider] = field(default_factory=list)
    health: Health = field(default_factory=Health)
    logging: Logging = field(default_factory=Logging)


__all__ = [
    "Auth",
    "AuthStyle",
    "Config",
    "Health",
    "Key",
    "Limits",
    "Logging",
    "Model",
    "Preset",
    "Provider",
    "ProviderType",
    "Routing",
    "Server",
    "ServerTimeouts",
    "Strategy",
    "UpstreamTimeouts",
]
