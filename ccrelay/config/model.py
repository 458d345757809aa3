"""The configuration as typed, frozen Structs: the one shape that every floor reads.

Every field has its default here and its meaning in `Meta(description=...)`; the reference page and
`ccrelay config schema` are generated from these. Secrets are plain strings after expansion and live
nowhere else; they are shown only as fingerprints (`ccrelay.config.fingerprint`) and stay out of
every `repr`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
# The upper bound keeps every number inside 64 bits on its way to the workers.
Positive = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]

ProviderType = Literal["anthropic", "zai", "ollama", "compatible"]
Preset = Literal["minimax", "kimi", "deepseek", "openrouter"]
AuthStyle = Literal["x-api-key", "bearer", "none"]
Strategy = Literal["simple-shuffle", "failover"]
SystemRole = Literal["keep", "user"]
CountTokens = Literal["forward", "estimate"]
ToolTypeCustom = Literal["keep", "drop"]
Level = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Auth(_Section, frozen=True):
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


class Limits(_Section, frozen=True):
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


class ServerTimeouts(_Section, frozen=True):
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


class Server(_Section, frozen=True):
    """Where the relay listens and what it accepts."""

    listen: Annotated[
        str,
        Meta(
            description="HOST:PORT or [IPV6]:PORT; port 0 takes a free one. Anything but loopback "
            "needs auth.tokens."
        ),
    ] = "127.0.0.1:8787"
    workers: Annotated[int, Meta(ge=1, le=256, description="Worker processes.")] = 1
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


class UpstreamTimeouts(_Section, frozen=True):
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


class Routing(_Section, frozen=True):
    """How a provider is chosen."""

    strategy: Annotated[
        Strategy,
        Meta(
            description="simple-shuffle: weighted random; failover: the first that can be reached, "
            "in order."
        ),
    ] = "simple-shuffle"
    ping_s: Annotated[
        Seconds,
        Meta(description="Upstream silence on a stream after which the relay sends its own ping."),
    ] = 12.0
    early_head_s: Annotated[
        Seconds,
        Meta(
            description="A streaming request without upstream head for this long gets 200 and "
            "pings, so that no client deadline passes."
        ),
    ] = 45.0
    timeouts: Annotated[UpstreamTimeouts, Meta(description="Time limits towards providers.")] = (
        field(default_factory=UpstreamTimeouts)
    )
    pool_idle_s: Annotated[
        Seconds, Meta(description="Idle upstream connections are closed after this long.")
    ] = 60.0
    pool_idle_max: Annotated[
        int, Meta(ge=0, le=1 << 24, description="Idle upstream connections kept per endpoint.")
    ] = 256


class Key(_Section, frozen=True):
    """One credential of a provider."""

    key: Annotated[
        str,
        Meta(
            min_length=1, description="The secret; write it as ${VAR}, ${file:/path} or ${cmd:...}."
        ),
    ]
    name: Annotated[str | None, Meta(description="Shown beside the fingerprint.")] = None
    weight: Annotated[int, Meta(ge=0, le=1000, description="Share among the provider's keys.")] = 1
    priority: Annotated[int, Meta(ge=0, le=1000, description="Reserved for key pools.")] = 0
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
    enabled: Annotated[bool, Meta(description="false: the key is never used.")] = True

    def __repr__(self) -> str:
        return f"<Key name={self.name!r} enabled={self.enabled}>"


class Model(_Section, frozen=True):
    """A model as shown by GET /v1/models."""

    id: Annotated[str, Meta(min_length=1, description="The name that clients ask for.")]
    display_name: Annotated[str | None, Meta(description="Shown in model pickers.")] = None
    description: Annotated[str | None, Meta(description="Shown beside the name.")] = None
    max_input_tokens: Annotated[
        Positive | None, Meta(description="Context window, tokens, as told to clients.")
    ] = None


class Provider(_Section, frozen=True):
    """One upstream service: a dialect, a base URL, its keys."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            description="Unique; appears in logs.",
            extra={"expects": "1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"},
        ),
    ]
    type: Annotated[ProviderType, Meta(description="The dialect it speaks.")] = "compatible"
    preset: Annotated[
        Preset | None,
        Meta(description="Base URL, auth and quirks of a known service (type compatible)."),
    ] = None
    base_url: Annotated[
        str | None, Meta(description="What stands before /v1/messages; default by type or preset.")
    ] = None
    auth: Annotated[
        AuthStyle | None, Meta(description="How the key is sent; default by type or preset.")
    ] = None
    keys: Annotated[
        list[Key],
        Meta(description="None, with type anthropic: the client's own credential passes through."),
    ] = field(default_factory=list)
    enabled: Annotated[bool, Meta(description="false: the provider is never used.")] = True
    weight: Annotated[int, Meta(ge=0, le=1000, description="Share under simple-shuffle.")] = 1
    model_mapping: Annotated[
        dict[str, str],
        Meta(description="Model asked for (name or glob) -> model sent; the first match wins."),
    ] = field(default_factory=dict)
    models: Annotated[
        list[str | Model] | None,
        Meta(
            description="Models served under their own name (names or globs, * and ?). Default by "
            "type: anthropic claude-* and anthropic*; zai glm-*; others everything, or only what "
            "model_mapping names when there is one."
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
        Meta(
            description="anthropic-beta values not sent to this provider; '*' drops the header. "
            "Default by preset."
        ),
    ] = None
    system_role: Annotated[
        SystemRole | None,
        Meta(
            description="What becomes of role:system turns inside messages: keep, or user. "
            "Default by type or preset."
        ),
    ] = None
    count_tokens: Annotated[
        CountTokens | None,
        Meta(
            description="Whether count_tokens is forwarded or estimated; default by type or preset."
        ),
    ] = None
    tool_type_custom: Annotated[
        ToolTypeCustom | None,
        Meta(
            description='Whether the member `"type": "custom"` of a tool is sent; default keep, '
            "drop with preset deepseek."
        ),
    ] = None
    timeouts: Annotated[
        UpstreamTimeouts | None, Meta(description="Instead of routing.timeouts.")
    ] = None

    def __repr__(self) -> str:
        # Headers and URL are left out on purpose: either may carry a secret.
        return f"<Provider {self.name} type={self.type} keys={len(self.keys)}>"


class Health(_Section, frozen=True):
    """How failing endpoints are avoided."""

    rest_s: Annotated[
        Seconds,
        Meta(description="First rest of an endpoint that could not be reached; doubles each time."),
    ] = 1.0
    rest_max_s: Annotated[Seconds, Meta(description="Longest rest.")] = 30.0


class Logging(_Section, frozen=True):
    """What is written where."""

    level: Annotated[Level, Meta(description="The least severe line that is written.")] = "info"
    format: Annotated[LogFormat, Meta(description="text for people, json for machines.")] = "text"
    file: Annotated[str | None, Meta(description="Path; default standard error.")] = None
    exchanges: Annotated[bool, Meta(description="One line per exchange.")] = True


class Config(_Section, frozen=True):
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
    "Auth",
    "AuthStyle",
    "Config",
    "CountTokens",
    "Health",
    "Key",
    "Level",
    "Limits",
    "LogFormat",
    "Logging",
    "Model",
    "Preset",
    "Provider",
    "ProviderType",
    "Routing",
    "Server",
    "ServerTimeouts",
    "Strategy",
    "SystemRole",
    "ToolTypeCustom",
    "UpstreamTimeouts",
]
