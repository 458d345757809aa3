"""The sections of upstream services: keys, models, prices, providers, health."""

from typing import Annotated, Literal

from msgspec import Meta, field

from ccrelay.config.model_routing import UpstreamTimeouts
from ccrelay.config.section import Positive, Seconds, Section

ProviderType = Literal[
    "anthropic",
    "zai",
    "ollama",
    "compatible",
    "bedrock",
    "claude-aws",
    "vertex",
    "claude-google",
    "azure",
]
# Surfaces of Bedrock: the Messages API of bedrock-mantle and of bedrock-runtime, and InvokeModel.
BedrockApi = Literal["mantle", "messages", "invoke"]
InferenceProfile = Literal["geo", "global", "none"]
CredentialSource = Literal[
    "default",  # the cloud's own chain, without asking a metadata server that may not exist
    "env",
    "profile",
    "web-identity",
    "container",
    "metadata",  # IMDS, the metadata server, a managed identity
    "file",
    "secret",
    "certificate",
    "workload",
    "cli",
]
Preset = Literal["minimax", "kimi", "deepseek", "openrouter"]
AuthStyle = Literal["x-api-key", "bearer", "none"]
SystemRole = Literal["keep", "user"]
CountTokens = Literal["forward", "estimate"]
ToolTypeCustom = Literal["keep", "drop"]
KeyStrategy = Literal["most-room", "least-loaded", "round-robin", "random"]
Signatures = Literal["claude", "none"]
Passthrough = Literal["batches", "files", "skills"]
Billing = Literal["tokens", "plan"]
Probe = Literal["off", "connect", "count_tokens", "message"]
# Two orders of magnitude above any known price; keeps micro-dollars within 64 bits.
Dollars = Annotated[float, Meta(ge=0, le=100_000)]


class Credential(Section, frozen=True):
    """Where the credential of a cloud comes from; empty: the cloud's default chain."""

    source: Annotated[
        CredentialSource | None,
        Meta(description="Where to look; default: as the other members imply, else the chain."),
    ] = None
    profile: Annotated[
        str | None, Meta(description="AWS: profile of ~/.aws/config, also of SSO.")
    ] = None
    role_arn: Annotated[
        str | None,
        Meta(description="AWS: role to assume, with the credential found otherwise."),
    ] = None
    external_id: Annotated[str | None, Meta(description="AWS: external id for role_arn.")] = None
    file: Annotated[
        str | None,
        Meta(
            description="Google: JSON file of a service account, user, or workload identity.",
        ),
    ] = None
    impersonate: Annotated[
        str | None,
        Meta(description="Google: e-mail of the service account to impersonate."),
    ] = None
    tenant_id: Annotated[str | None, Meta(description="Azure: tenant.")] = None
    client_id: Annotated[
        str | None,
        Meta(description="Azure: application, or user-assigned managed identity."),
    ] = None
    client_secret: Annotated[
        str | None,
        Meta(description="Azure: secret of the application, as ${VAR} or ${file:}."),
    ] = None
    certificate_file: Annotated[
        str | None,
        Meta(description="Azure: PEM file of the application's certificate and key."),
    ] = None

    def __repr__(self) -> str:
        return f"<Credential source={self.source!r}>"


class Key(Section, frozen=True):
    """An API key of a provider, or another credential of a cloud."""

    key: Annotated[
        str,
        Meta(
            min_length=1,
            description="The API key, as ${VAR}, ${file:/path} or ${cmd:...}; or use credential.",
            extra={"unless": "credential"},
        ),
    ] = ""
    credential: Annotated[
        Credential | None,
        Meta(
            description="Instead of a key: where the credential of a cloud comes from (types "
            "bedrock, claude-aws, vertex, claude-google, azure)."
        ),
    ] = None
    name: Annotated[str | None, Meta(description="Shown with the fingerprint.")] = None
    weight: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Relative share among the keys; 0: used only when no key with a weight "
            "is available.",
        ),
    ] = 1
    priority: Annotated[
        int, Meta(ge=0, le=1000, description="Keys with a higher priority are used first.")
    ] = 0
    rpm_limit: Annotated[
        Positive | None, Meta(description="Requests per minute (sliding window of 60 seconds).")
    ] = None
    tpm_limit: Annotated[
        Positive | None,
        Meta(description="Tokens per minute: input without cache reads, plus output."),
    ] = None
    itpm_limit: Annotated[
        Positive | None, Meta(description="Input tokens per minute, without cache reads.")
    ] = None
    otpm_limit: Annotated[Positive | None, Meta(description="Output tokens per minute.")] = None
    max_concurrent: Annotated[
        Positive | None, Meta(description="Concurrent exchanges, over all workers.")
    ] = None
    enabled: Annotated[bool, Meta(description="false: the key is not used.")] = True

    def __repr__(self) -> str:
        return f"<Key name={self.name!r} enabled={self.enabled}>"


class Model(Section, frozen=True):
    """A model in GET /v1/models."""

    id: Annotated[str, Meta(min_length=1, description="Name that clients request.")]
    display_name: Annotated[str | None, Meta(description="Name shown to users.")] = None
    description: Annotated[str | None, Meta(description="Description shown to users.")] = None
    max_input_tokens: Annotated[
        Positive | None, Meta(description="Context window reported to clients, tokens.")
    ] = None


class Price(Section, frozen=True):
    """Prices in US dollars per million tokens."""

    input: Annotated[Dollars, Meta(description="Uncached input.")]
    output: Annotated[Dollars, Meta(description="Output, including thinking.")]
    cache_read: Annotated[Dollars | None, Meta(description="Cache reads; default: as input.")] = (
        None
    )
    cache_write_5m: Annotated[
        Dollars | None, Meta(description="Cache writes with a TTL of 5 minutes; default: as input.")
    ] = None
    cache_write_1h: Annotated[
        Dollars | None, Meta(description="Cache writes with a TTL of 1 hour; default: as input.")
    ] = None


class Provider(Section, frozen=True):
    """An upstream service: API dialect, base URL, keys."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            description="Unique name, used in logs and rules.",
            extra={"expects": "1 to 64 letters, digits, '.', '_' or '-', not starting with '._-'"},
        ),
    ]
    type: Annotated[ProviderType, Meta(description="API dialect.")] = "compatible"
    preset: Annotated[
        Preset | None,
        Meta(description="Defaults of a known service: base URL, auth, quirks (type compatible)."),
    ] = None
    base_url: Annotated[
        str | None, Meta(description="URL before /v1/messages; default by type or preset.")
    ] = None
    region: Annotated[
        str | None,
        Meta(description="AWS region (types bedrock, claude-aws)."),
    ] = None
    location: Annotated[
        str | None,
        Meta(
            description="Google location: a region, us, eu or global (types vertex, "
            "claude-google; default global).",
        ),
    ] = None
    project: Annotated[
        str | None,
        Meta(description="Google Cloud project (types vertex, claude-google)."),
    ] = None
    workspace: Annotated[
        str | None,
        Meta(
            description="Workspace id (types claude-aws, claude-google; bedrock: optional).",
        ),
    ] = None
    resource: Annotated[str | None, Meta(description="Azure AI Foundry resource (type azure).")] = (
        None
    )
    api: Annotated[
        BedrockApi | None,
        Meta(
            description="Surface of type bedrock: mantle, messages (both on event streams of text) "
            "or invoke (InvokeModel: ids of version v1:0, ARNs, guardrails). Default: mantle, or "
            "invoke where the models named need it."
        ),
    ] = None
    inference_profile: Annotated[
        InferenceProfile | None,
        Meta(
            description="Prefix of Bedrock's model ids for api messages and invoke: geo (us., eu. "
            "and so on, by region), global, or none. Default: geo."
        ),
    ] = None
    auth: Annotated[
        AuthStyle | None, Meta(description="Header for the key; default by type or preset.")
    ] = None
    keys: Annotated[
        list[Key],
        Meta(
            description="API keys. None with type anthropic: the client's credential is passed "
            "through."
        ),
    ] = field(default_factory=list)
    enabled: Annotated[bool, Meta(description="false: the provider is not used.")] = True
    weight: Annotated[
        int, Meta(ge=0, le=1000, description="Relative share for simple-shuffle and round-robin.")
    ] = 1
    priority: Annotated[
        int,
        Meta(ge=0, le=1000, description="Order for failover: higher first, then configured order."),
    ] = 0
    key_strategy: Annotated[
        KeyStrategy,
        Meta(description="Selection of a key for a request without a sticky key."),
    ] = "most-room"
    prices: Annotated[
        dict[str, Price],
        Meta(description="Upstream model (name or glob) -> price; overrides the built-in table."),
    ] = field(default_factory=dict)
    billing: Annotated[
        Billing | None,
        Meta(
            description="How tokens are paid: tokens (at the price), or plan (a subscription; "
            "costs are shown at list price and as covered). Default: plan for a Claude login "
            "that is passed through, tokens for others."
        ),
    ] = None
    signatures: Annotated[
        Signatures | None,
        Meta(
            description="Thinking signatures that the service validates: claude (Anthropic's) or "
            "none. Default: claude for type anthropic, none for others."
        ),
    ] = None
    model_mapping: Annotated[
        dict[str, str],
        Meta(
            description="Requested model (name or glob) -> upstream model; an exact name wins, "
            "then the first glob that matches."
        ),
    ] = field(default_factory=dict)
    models: Annotated[
        list[str | Model] | None,
        Meta(
            description="Models served under their own name: names or globs with * and ?. Default "
            "by type: claude-* and anthropic* for anthropic; glm-* for zai; all models for "
            "others, or none if model_mapping is set."
        ),
    ] = None
    discover_models: Annotated[
        bool, Meta(description="Include the models that the provider lists in GET /v1/models.")
    ] = False
    passthrough: Annotated[
        list[Passthrough],
        Meta(
            description="Endpoints forwarded to this provider without routing, limits or failover "
            "(type anthropic): batches, files, skills. Clients share its account: what one stores, "
            "all can list, read and delete."
        ),
    ] = field(default_factory=list)
    headers: Annotated[
        dict[str, str], Meta(description="Static headers added to every request.")
    ] = field(default_factory=dict)
    drop_headers: Annotated[
        list[str],
        Meta(
            description="Names of client headers that are not forwarded, besides those that never "
            "are; `_` counts as `-`."
        ),
    ] = field(default_factory=list)
    drop_betas: Annotated[
        list[str] | None,
        Meta(
            description="anthropic-beta values removed from requests; '*' removes the header. "
            "Default by preset."
        ),
    ] = None
    system_role: Annotated[
        SystemRole | None,
        Meta(
            description="Role of system messages inside messages: keep, or change to user. "
            "Default by type or preset."
        ),
    ] = None
    count_tokens: Annotated[
        CountTokens | None,
        Meta(description="Forward count_tokens requests, or estimate; default by type or preset."),
    ] = None
    tool_type_custom: Annotated[
        ToolTypeCustom | None,
        Meta(
            description='Keep or drop `"type": "custom"` of tools; default: keep, drop with preset '
            "deepseek."
        ),
    ] = None
    timeouts: Annotated[
        UpstreamTimeouts | None, Meta(description="Overrides routing.timeouts.")
    ] = None

    def __repr__(self) -> str:
        # Without headers and URL: either may contain a secret.
        return f"<Provider {self.name} type={self.type} keys={len(self.keys)}>"


class Health(Section, frozen=True):
    """Circuit breakers and probes of endpoints, cooldowns of keys."""

    failures: Annotated[
        int,
        Meta(ge=1, le=1000, description="Consecutive failures that open the circuit breaker."),
    ] = 3
    failure_rate: Annotated[
        float,
        Meta(
            gt=0, le=1, description="Failure rate within window_s that opens the circuit breaker."
        ),
    ] = 0.5
    window_s: Annotated[
        float, Meta(ge=1, le=300, description="Time window of failure_rate, seconds.")
    ] = 30.0
    window_requests_min: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description="Minimum number of requests in the window for failure_rate.",
        ),
    ] = 20
    open_s: Annotated[
        Seconds,
        Meta(description="Time a circuit breaker stays open at first; doubles every time."),
    ] = 1.0
    open_max_s: Annotated[Seconds, Meta(description="Maximum time a breaker stays open.")] = 30.0
    probe: Annotated[
        Probe,
        Meta(
            description="Probe of an endpoint when its breaker becomes half-open without traffic: "
            "connect (TCP and TLS), count_tokens, message (one token, billed), or off. connect is "
            "used for providers without keys or without count_tokens."
        ),
    ] = "connect"
    probe_model: Annotated[
        str | None,
        Meta(description="Model of count_tokens and message probes, also of refused keys."),
    ] = None
    probe_timeout_s: Annotated[Seconds, Meta(description="Timeout of a probe.")] = 5.0
    quota_cooldown_s: Annotated[
        Seconds,
        Meta(
            description="Cooldown of a key with an exhausted balance or quota, when the provider "
            "does not say how long."
        ),
    ] = 900.0
    key_cooldown_max_s: Annotated[
        Seconds, Meta(description="Maximum cooldown of a key, whatever the response headers say.")
    ] = 3600.0
