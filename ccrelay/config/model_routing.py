"""The sections that say how a provider is chosen: rules, affinity, waiting, retries."""

from typing import Annotated, Literal

from msgspec import Meta, field

from ccrelay.config.section import NotNegative, Positive, Seconds, Section

StrategyName = Literal[
    "simple-shuffle",
    "round-robin",
    "least-busy",
    "failover",
    "cost-based",
    "latency-based",
    "model-based",
]
RequestKind = Literal["main", "subagent", "background", "compaction", "count_tokens", "web-search"]
Panic = Literal["try", "refuse"]


class UpstreamTimeouts(Section, frozen=True):
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


class When(Section, frozen=True):
    """Conditions of a rule; all that are given must hold."""

    model: Annotated[
        list[str], Meta(description="Models asked for, names or globs; one of them must match.")
    ] = field(default_factory=list)
    request_class: Annotated[
        list[RequestKind], Meta(description="What the request is for; one of them must match.")
    ] = field(default_factory=list)
    tokens_over: Annotated[
        NotNegative | None, Meta(description="Estimated input tokens, more than this.")
    ] = None
    tokens_under: Annotated[
        Positive | None, Meta(description="Estimated input tokens, fewer than this.")
    ] = None
    images: Annotated[bool | None, Meta(description="Whether the body has images.")] = None
    thinking: Annotated[bool | None, Meta(description="Whether thinking is switched on.")] = None
    tools: Annotated[bool | None, Meta(description="Whether the request brings tools.")] = None
    headers: Annotated[
        dict[str, str],
        Meta(description="Header name -> glob its value must match; '*': it is present."),
    ] = field(default_factory=dict)


class Use(Section, frozen=True):
    """What a rule changes; what is not given stays."""

    providers: Annotated[list[str], Meta(description="Only these providers, in this order.")] = (
        field(default_factory=list)
    )
    strategy: Annotated[StrategyName | None, Meta(description="Instead of routing.strategy.")] = (
        None
    )
    model: Annotated[
        str | None, Meta(description="Asked for instead; model_mapping applies to it.")
    ] = None


class Rule(Section, frozen=True):
    """An exception from the strategy."""

    when: Annotated[When, Meta(description="Conditions; none: every request.")] = field(
        default_factory=When
    )
    use: Annotated[Use, Meta(description="What changes.")] = field(default_factory=Use)
    name: Annotated[str | None, Meta(description="Shown in logs and by route explain.")] = None


class Affinity(Section, frozen=True):
    """Keeping a conversation with its provider and key, where its prompt cache is."""

    enabled: Annotated[bool, Meta(description="false: every request is routed anew.")] = True
    wait_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="How long a conversation with a warm cache waits for its key before it "
            "moves to another; 0: it moves at once.",
        ),
    ] = 5.0


class RetryBudget(Section, frozen=True):
    """Attempts beyond the first, over all requests of the last 10 seconds."""

    ratio: Annotated[
        float, Meta(ge=0, le=100, description="Share of the requests that may be tried again.")
    ] = 1.0
    minimum: Annotated[
        int, Meta(ge=0, le=1 << 20, description="Always allowed, whatever the ratio says.")
    ] = 100


class Routing(Section, frozen=True):
    """How a provider is chosen."""

    strategy: Annotated[
        StrategyName,
        Meta(
            description="How a provider is chosen among those that serve the model and are "
            "available; see strategies.md."
        ),
    ] = "simple-shuffle"
    models: Annotated[
        dict[str, list[str]],
        Meta(
            description="For strategy model-based: model prefix or glob -> providers in order. "
            "The longest prefix wins; a glob counts by its text before the first * or ?."
        ),
    ] = field(default_factory=dict)
    models_default: Annotated[
        list[str],
        Meta(
            description="For strategy model-based: providers in order for every other model; "
            "none: all of them, in configured order."
        ),
    ] = field(default_factory=list)
    rules: Annotated[
        list[Rule], Meta(description="Exceptions from the strategy; the first that matches wins.")
    ] = field(default_factory=list)
    affinity: Annotated[Affinity, Meta(description="Keeping a conversation where it is.")] = field(
        default_factory=Affinity
    )
    attempts_max: Annotated[
        int, Meta(ge=1, le=32, description="Attempts per request, the first one included.")
    ] = 4
    retry_budget: Annotated[
        RetryBudget, Meta(description="Bound on attempts beyond the first, over all requests.")
    ] = field(default_factory=RetryBudget)
    queue_timeout_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="How long a request waits for a target when every one rests; 0: never.",
        ),
    ] = 20.0
    queue_max: Annotated[
        int, Meta(ge=0, le=1 << 20, description="Requests that wait at once, per worker.")
    ] = 1000
    panic: Annotated[
        Panic,
        Meta(
            description="When the circuit breaker of every provider is open: try one all the same, "
            "or refuse, and wait for one to be closed, up to queue_timeout_s."
        ),
    ] = "try"
    explore: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="For latency-based: share of new conversations sent to another than the "
            "fastest, so that a recovered provider is found again.",
        ),
    ] = 0.05
    debug: Annotated[
        bool, Meta(description="Add x-ccrelay-* headers to responses: provider, attempts, wait.")
    ] = False
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
