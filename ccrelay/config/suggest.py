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
    "token": ("tokens",),
    "url": ("base_url",),
    "api_base": ("base_url",),
    "endpoint": ("base_url",),
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
    "openai": ("compatible",),
    "custom": ("compatible",),
    "glm": ("zai",),
    "shuffle": ("simple-shuffle",),
    "random": ("simple-shuffle",),
    "priority": ("failover",),
    "cheapest": ("cost-based",),
    "fastest": ("latency-based",),
    "warn": ("warning",),
    "yes": ("true",),
    "on": ("true",),
    "no": ("false",),
    "off": ("false",),
}


def closest(word: str, options: Collection[str]) -> str | None:
    """Return the option that `word` probably means, or None."""
    folded = word.lower().replace("-", "_")
    for option in options:
        if option.lower().replace("-", "_") == folded:
            return option
    for option in _ALIASES.get(folded, ()):
        if option in options:
            return option
    import difflib  # imported only for an error message

    matches = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    return matches[0] if matches else None


def hint(word: str, options: Collection[str]) -> str:
    """Return ` (did you mean "x"?)` to append to a message, or ""."""
    option = closest(word, options)
    return f' (did you mean "{option}"?)' if option else ""
