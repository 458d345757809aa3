"""The sections about upstream services: keys, models, prices, providers, their health."""

from typing import Annotated, Literal

from msgspec import Meta, field

from ccrelay.config.model_routing import UpstreamTimeouts
from ccrelay.config.section import Positive, Seconds, Section

ProviderType = Literal["anthropic", "zai", "ollama", "compatible"]
Preset = Literal["minimax", "kimi", "deepseek", "openrouter"]
AuthStyle = Literal["x-api-key", "bearer", "none"]
SystemRole = Literal["keep", "user"]
CountTokens = Literal["forward", "estimate"]
ToolTypeCustom = Literal["keep", "drop"]
KeyStrategy = Literal["most-room", "least-loaded", "round-robin", "random"]
Signatures = Literal["claude", "none"]
Probe = Literal["off", "connect", "count_tokens", "message"]
# Above every known price by two orders of magnitude; keeps micro-dollars inside 64 bits.
Dollars = Annotated[float, Meta(ge=0, le=100_000)]


class Key(Section, frozen=True):
    """One credential of a provider."""

    key: Annotated[
        str,
        Meta(
            min_length=1, description="The secret; write it as ${VAR}, ${file:/path} or ${cmd:...}."
        ),
    ]
    name: Annotated[str | None, Meta(description="Shown beside the fingerprint.")] = None
    weight: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Share among the provider's keys; 0: only when those with a weight are "
            "not to be had.",
        ),
    ] = 1
    priority: Annotated[
        int, Meta(ge=0, le=1000, description="Keys of higher priority are used first.")
    ] = 0
    rpm_limit: Annotated[
        Positive | None, Meta(description="Requests per minute, any 60 seconds.")
    ] = None
    tpm_limit: Annotated[
        Positive | None,
        Meta(description="Tokens per minute: input without cache reads, and output."),
    ] = None
    itpm_limit: Annotated[
        Positive | None, Meta(description="Input tokens per minute, without cache reads.")
    ] = None
    otpm_limit: Annotated[Positive | None, Meta(description="Output tokens per minute.")] = None
    max_concurrent: Annotated[
        Positive | None, Meta(description="Exchanges at once, over all workers.")
    ] = None
    enabled: Annotated[bool, Meta(description="false: the key is never used.")] = True

    def __repr__(self) -> str:
        return f"<Key name={self.name!r} enabled={self.enabled}>"


class Model(Section, frozen=True):
    """A model as shown by GET /v1/models."""

    id: Annotated[str, Meta(min_length=1, description="The name that clients ask for.")]
    display_name: Annotated[str | None, Meta(description="Shown in model pickers.")] = None
    description: Annotated[str | None, Meta(description="Shown beside the name.")] = None
    max_input_tokens: Annotated[
        Positive | None, Meta(description="Context window, tokens, as told to clients.")
    ] = None


class Price(Section, frozen=True):
    """US dollars per million tokens."""

    input: Annotated[
        Dollars, Meta(description="Input that is neither read from nor written to a cache.")
    ]
    output: Annotated[Dollars, Meta(description="Output, thinking included.")]
    cache_read: Annotated[
        Dollars | None, Meta(description="Input read from the cache; default: as input.")
    ] = None
    cache_write_5m: Annotated[
        Dollars | None, Meta(description="Input written to the 5 minute cache; default: as input.")
    ] = None
    cache_write_1h: Annotated[
        Dollars | None, Meta(description="Input written to the 1 hour cache; default: as input.")
    ] = None


class Provider(Section, frozen=True):
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
    weight: Annotated[
        int, Meta(ge=0, le=1000, description="Share under simple-shuffle and round-robin.")
    ] = 1
    priority: Annotated[
        int, Meta(ge=0, le=1000, description="For failover: higher first, then configured order.")
    ] = 0
    key_strategy: Annotated[
        KeyStrategy,
        Meta(description="How a key is chosen for a request that is not bound to one."),
    ] = "most-room"
    prices: Annotated[
        dict[str, Price],
        Meta(description="Model sent (name or glob) -> price, instead of the built-in table."),
    ] = field(default_factory=dict)
    signatures: Annotated[
        Signatures | None,
        Meta(
            description="Which signatures of thinking blocks it checks: claude (Anthropic's own), "
            "or none. Default: claude for type anthropic, none for others."
        ),
    ] = None
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


class Health(Section, frozen=True):
    """How failing endpoints and spent keys are avoided."""

    failures: Annotated[
        int,
        Meta(ge=1, le=1000, description="Failures in a row that open the circuit breaker."),
    ] = 3
    failure_rate: Annotated[
        float,
        Meta(gt=0, le=1, description="Share of failures within window_s that opens it, too."),
    ] = 0.5
    window_s: Annotated[
        float, Meta(ge=1, le=300, description="Window of failure_rate, seconds.")
    ] = 30.0
    window_requests_min: Annotated[
        int, Meta(ge=1, le=1 << 20, description="Fewer requests in the window prove nothing.")
    ] = 20
    open_s: Annotated[
        Seconds,
        Meta(description="First rest of an endpoint whose breaker opened; doubles each time."),
    ] = 1.0
    open_max_s: Annotated[Seconds, Meta(description="Longest rest of an endpoint.")] = 30.0
    probe: Annotated[
        Probe,
        Meta(
            description="How an endpoint without traffic is tried when its rest is over: connect "
            "(TCP and TLS), count_tokens, message (one token, costs money), or off. A provider "
            "without key or without count_tokens is only connected to."
        ),
    ] = "connect"
    probe_model: Annotated[
        str | None, Meta(description="Model named by probes count_tokens and message.")
    ] = None
    probe_timeout_s: Annotated[Seconds, Meta(description="A probe that takes longer failed.")] = 5.0
    quota_cooldown_s: Annotated[
        Seconds,
        Meta(
            description="Rest of a key whose balance or quota is spent, when the provider does not "
            "say until when."
        ),
    ] = 900.0
    key_cooldown_max_s: Annotated[
        Seconds, Meta(description="No header makes a key rest longer than this.")
    ] = 3600.0
