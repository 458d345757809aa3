"""The sections of routing: strategies, rules, affinity, queue, retries."""

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
    """Timeouts of upstream connections, seconds."""

    connect_s: Annotated[
        Seconds, Meta(description="TCP, proxy CONNECT and TLS handshake in total.")
    ] = 10.0
    first_byte_s: Annotated[
        Seconds,
        Meta(description="From the last byte of the request to the first byte of the response."),
    ] = 600.0
    idle_s: Annotated[
        Seconds, Meta(description="Time between two events of a stream; pings do not count.")
    ] = 600.0
    total_s: Annotated[Seconds, Meta(description="Total duration of an exchange.")] = 3600.0


class When(Section, frozen=True):
    """Conditions of a rule; all that are set must match."""

    model: Annotated[
        list[str], Meta(description="Requested models, names or globs; one must match.")
    ] = field(default_factory=list)
    request_class: Annotated[
        list[RequestKind], Meta(description="Request classes; one must match.")
    ] = field(default_factory=list)
    tokens_over: Annotated[
        NotNegative | None, Meta(description="Estimated input tokens are more than this.")
    ] = None
    tokens_under: Annotated[
        Positive | None, Meta(description="Estimated input tokens are fewer than this.")
    ] = None
    images: Annotated[bool | None, Meta(description="Whether the request has images.")] = None
    thinking: Annotated[bool | None, Meta(description="Whether thinking is enabled.")] = None
    tools: Annotated[bool | None, Meta(description="Whether the request has tools.")] = None
    headers: Annotated[
        dict[str, str],
        Meta(description="Header name -> glob that its value must match; '*': header is present."),
    ] = field(default_factory=dict)


class Use(Section, frozen=True):
    """Overrides of a rule; what is not set is unchanged."""

    providers: Annotated[
        list[str], Meta(description="Restrict to these providers, in this order.")
    ] = field(default_factory=list)
    strategy: Annotated[StrategyName | None, Meta(description="Overrides routing.strategy.")] = None
    model: Annotated[
        str | None, Meta(description="Overrides the requested model; model_mapping applies to it.")
    ] = None


class Rule(Section, frozen=True):
    """A routing rule."""

    when: Annotated[When, Meta(description="Conditions; empty: every request.")] = field(
        default_factory=When
    )
    use: Annotated[Use, Meta(description="Overrides.")] = field(default_factory=Use)
    name: Annotated[str | None, Meta(description="Name in logs and in route explain.")] = None


class Affinity(Section, frozen=True):
    """Session affinity: sticky provider and key per conversation, for the prompt cache."""

    enabled: Annotated[bool, Meta(description="false: every request is routed independently.")] = (
        True
    )
    wait_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="How long a conversation with a warm prompt cache waits for its key "
            "before it is bound to another; 0: it does not wait.",
        ),
    ] = 5.0


class RetryBudget(Section, frozen=True):
    """Limit of retries, over all requests of the last 10 seconds."""

    ratio: Annotated[
        float, Meta(ge=0, le=100, description="Retries as a share of the requests.")
    ] = 1.0
    minimum: Annotated[
        int, Meta(ge=0, le=1 << 20, description="Retries that are allowed regardless of the ratio.")
    ] = 100


class Routing(Section, frozen=True):
    """Selection of a provider, retries, upstream timeouts."""

    strategy: Annotated[
        StrategyName,
        Meta(
            description="Load balancing over the available providers of the model; see "
            "docs/routing.md."
        ),
    ] = "simple-shuffle"
    models: Annotated[
        dict[str, list[str]],
        Meta(
            description="For strategy model-based: model prefix or glob -> providers in order. "
            "The longest prefix wins; of a glob, the text before the first * or ? counts."
        ),
    ] = field(default_factory=dict)
    models_default: Annotated[
        list[str],
        Meta(
            description="For strategy model-based: providers in order for all other models; "
            "empty: all, in configured order."
        ),
    ] = field(default_factory=list)
    rules: Annotated[list[Rule], Meta(description="Routing rules; the first match wins.")] = field(
        default_factory=list
    )
    affinity: Annotated[Affinity, Meta(description="Session affinity.")] = field(
        default_factory=Affinity
    )
    attempts_max: Annotated[
        int, Meta(ge=1, le=32, description="Attempts per request, including the first.")
    ] = 4
    retry_budget: Annotated[
        RetryBudget, Meta(description="Limit of retries, over all requests.")
    ] = field(default_factory=RetryBudget)
    queue_timeout_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Maximum time in the queue when no target is available; 0: no queueing.",
        ),
    ] = 20.0
    queue_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 20,
            description="Maximum number of queued requests per worker; one of several clients may "
            "have half of them.",
        ),
    ] = 1000
    panic: Annotated[
        Panic,
        Meta(
            description="When the circuit breakers of all providers are open: try one anyway, or "
            "refuse: queue the request for up to queue_timeout_s."
        ),
    ] = "try"
    explore: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="For latency-based: share of new conversations that are sent to another "
            "provider than the fastest, to measure its latency.",
        ),
    ] = 0.05
    debug: Annotated[
        bool, Meta(description="Add x-ccrelay-* response headers: provider, attempts, queue time.")
    ] = False
    ping_s: Annotated[
        Seconds,
        Meta(description="Time without an upstream event after which the relay sends a ping."),
    ] = 12.0
    early_head_s: Annotated[
        Seconds,
        Meta(
            description="A streaming request without upstream response headers after this time "
            "gets 200 and pings, so that the client does not time out; in the queue after ping_s."
        ),
    ] = 45.0
    timeouts: Annotated[UpstreamTimeouts, Meta(description="Timeouts of upstream connections.")] = (
        field(default_factory=UpstreamTimeouts)
    )
    pool_idle_s: Annotated[
        Seconds, Meta(description="Idle time after which an upstream connection is closed.")
    ] = 60.0
    pool_idle_max: Annotated[
        int, Meta(ge=0, le=1 << 24, description="Maximum idle upstream connections per endpoint.")
    ] = 256
