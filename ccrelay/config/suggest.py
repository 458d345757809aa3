"""Suggestions for unknown names: the most similar known name, or its alias."""

from collections.abc import Collection

# Names of other products and earlier versions -> the name here, used where that name exists.
_ALIASES = {
    "api_key": ("key", "keys"),
    "apikey": ("key", "keys"),
    "api_keys": ("keys",),
    "host": ("listen",),
    "port": ("listen",),
    "bind": ("listen",),
    "token": ("tokens", "key", "keys"),
    "value": ("key",),
    "secret": ("key", "client_secret"),
    "url": ("base_url",),
    "api_base": ("base_url",),
    "endpoint": ("base_url",),
    "upstreams": ("providers",),
    "backends": ("providers",),
    "model_list": ("providers",),
    "log": ("logging",),
    "mapping": ("model_mapping",),
    "model_map": ("model_mapping",),
    "rpm": ("rpm_limit",),
    "tpm": ("tpm_limit",),
    "max_parallel_requests": ("max_concurrent",),
    "concurrency": ("max_concurrent",),
    "class": ("request_class",),
    "traffic": ("request_class",),
    "retries": ("attempts_max",),
    "max_retries": ("attempts_max",),
    "num_retries": ("attempts_max",),
    "cooldown": ("key_cooldown_max_s",),
    # Names before 0.3.
    "rest_s": ("open_s",),
    "rest_max_s": ("open_max_s",),
    "key_rest_max_s": ("key_cooldown_max_s",),
    "quota_rest_s": ("quota_cooldown_s",),
    "max_wait_s": ("queue_timeout_s",),
    "waiting_max": ("queue_max",),
    "moonshot": ("kimi",),
    "custom": ("compatible",),
    "glm": ("zai",),
    "claude": ("anthropic",),
    "aws": ("bedrock",),
    "amazon": ("bedrock",),
    "amazon_bedrock": ("bedrock",),
    "aws_bedrock": ("bedrock",),
    "google": ("vertex",),
    "gcp": ("vertex",),
    "vertexai": ("vertex",),
    "vertex_ai": ("vertex",),
    "google_vertex": ("vertex",),
    "foundry": ("azure",),
    "microsoft": ("azure",),
    "azure_ai": ("azure",),
    "azure_foundry": ("azure",),
    "imds": ("metadata",),
    "managed_identity": ("metadata",),
    "aws_region": ("region",),
    "aws_region_name": ("region",),
    "aws_profile": ("profile",),
    "role": ("role_arn",),
    "assume_role": ("role_arn",),
    "project_id": ("project",),
    "vertex_project": ("project",),
    "vertex_location": ("location",),
    "service_account": ("impersonate",),
    "credentials_file": ("file",),
    "workspace_id": ("workspace",),
    "resource_name": ("resource",),
    "deployments": ("model_mapping",),
    "certificate": ("certificate_file",),
    "shuffle": ("simple-shuffle",),
    "random": ("simple-shuffle",),
    "priority": ("failover",),
    "fallback": ("failover",),
    "cheapest": ("cost-based",),
    "fastest": ("latency-based",),
    "warn": ("warning",),
    "yes": ("true",),
    "on": ("true",),
    "no": ("false",),
    "off": ("false",),
}


# Names of protocols: similar to one of ours, and never what is meant by it.
_PROTOCOLS = frozenset(
    {
        *("openai", "chat", "completions", "responses", "gemini", "cohere", "mistral"),
        *("http", "https", "ws", "wss"),
        *("socks", "socks4", "socks4a", "socks5", "socks5h", "grpc", "basic", "digest", "oauth"),
    }
)
_SIMILARITY_MIN = 0.65  # "workers" and "providers" have 0.63
_WORD_SIMILARITY_MIN = 0.75


def same_name(word: str, options: Collection[str]) -> str | None:
    """Return the option that differs from `word` in case and dashes only, or None."""
    folded = _folded(word)
    return next((option for option in options if _folded(option) == folded), None)


def alias(word: str, options: Collection[str]) -> str | None:
    """Return the option that has the name `word` elsewhere, or None."""
    return next((name for name in _ALIASES.get(_folded(word), ()) if name in options), None)


def misspelt(word: str, options: Collection[str]) -> str | None:
    """Return the option that `word` misspells, or None."""
    same = same_name(word, options)
    if same is not None:
        return same
    import difflib  # imported only for an error message

    if names := protocols(word):
        options = [option for option in options if protocols(option) == names]
    matches = difflib.get_close_matches(word, options, n=1, cutoff=_SIMILARITY_MIN)
    return matches[0] if matches else None


def closest(word: str, options: Collection[str]) -> str | None:
    """Return the option that `word` probably means, or None."""
    return same_name(word, options) or alias(word, options) or misspelt(word, options)


def hint(word: str, options: Collection[str]) -> str:
    """Return ` (did you mean "x"?)` to append to a message, or ""."""
    option = closest(word, options)
    return f' (did you mean "{option}"?)' if option else ""


def variable_hint(name: str, variables: Collection[str]) -> str:
    """Return `hint` for an environment variable: similar word by word.

    `OPENAI_API_KEY` and `ZAI_API_KEY` are similar as a whole, and keys of different services.
    """
    import difflib

    def is_similar(other: str) -> bool:
        words, others = name.split("_"), other.split("_")
        if len(words) != len(others):
            shorter, longer = sorted((words, others), key=len)
            return words[0] == others[0] and set(shorter) <= set(longer)
        return all(
            difflib.SequenceMatcher(None, one, two).ratio() >= _WORD_SIMILARITY_MIN
            for one, two in zip(words, others, strict=True)
        )

    return hint(name, [other for other in variables if is_similar(other)])


def protocols(name: str) -> frozenset[str]:
    """Return the words of a name that name a protocol."""
    return _PROTOCOLS.intersection(_folded(name).split("_"))


def _folded(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
