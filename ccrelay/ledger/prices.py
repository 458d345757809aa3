"""The price table, as data: list prices in US dollars per million tokens.

Source: litellm 1.109.1, `model_prices_and_context_window_backup.json`, as of 2026-11-22.
Third-party data: good enough to compare providers and to estimate daily cost, not to verify a bill.
Every column is taken from there, none derived from another, because the usual ratios vary (a cache
read costs a tenth of the input for most Claude models, a twentieth for Opus 5.5 and Sonnet 5.5, a
fortieth for Fable 5.1).

A write price of 0 means that the vendor caches automatically and bills no writes. Whether tokens
reported as written would be free or billed as input is unknown, so 0 is kept; estimates are more
conservative (`ccrelay.ledger.pricing.expected_micros`). A missing price is unknown, and its tokens
count as input.
"""

from typing import NamedTuple

from ccrelay.config.model import Price, ProviderType

# Names this table in records; change it with any price. `config` stands for a configured price.
PRICES_VERSION = "2026-11-22"

# What the usage of Anthropic tells beside tokens (providers reference, section 15.2), in percent.
FAST_MODELS: frozenset[str] = frozenset({"claude-opus-4-8", "claude-opus-5", "claude-opus-5-5"})
FAST_PERCENT = 200  # `speed: fast`
US_PERCENT = 110  # `inference_geo: us`
WEB_SEARCH_MICROS = 10_000  # a web search of the provider's, millionths of a dollar

# No price per token, whatever the model's name: local, or billed monthly. Ollama users may name a
# model freely.
UNBILLED: frozenset[ProviderType] = frozenset({"ollama"})


class Row(NamedTuple):
    """The price of a model at a provider type."""

    model: str  # the vendor's name without date; prefix `bigmodel/` for its Chinese site
    provider: str  # a provider type; "*": all
    price: Price
    above_tokens: int = 0  # threshold of the long-prompt price, tokens
    above: Price | None = None  # price of a whole prompt above the threshold


def _usd(
    input: float,
    output: float,
    write_5m: float | None = None,
    write_1h: float | None = None,
    read: float | None = None,
) -> Price:
    return Price(
        input=input,
        output=output,
        cache_read=read,
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
    )


# Columns: input, output, cache write 5 minutes, cache write 1 hour, cache read.
PRICES: tuple[Row, ...] = (
    Row("claude-opus-5-5", "*", _usd(4, 20, 5, 8, 0.2)),
    Row("claude-opus-5", "*", _usd(5, 25, 6.25, 10, 0.5)),
    Row("claude-opus-4-8", "*", _usd(5, 25, 6.25, 10, 0.5)),
    Row("claude-opus-4-7", "*", _usd(5, 25, 6.25, 10, 0.5)),
    Row("claude-opus-4-6", "*", _usd(5, 25, 6.25, 10, 0.5)),
    Row("claude-opus-4-5", "*", _usd(5, 25, 6.25, 10, 0.5)),
    Row("claude-sonnet-5-5", "*", _usd(2, 10, 2.5, 4, 0.1)),
    Row("claude-sonnet-5", "*", _usd(2, 10, 2.5, 4, 0.2)),
    Row("claude-sonnet-4-6", "*", _usd(3, 15, 3.75, 6, 0.3)),
    Row("claude-sonnet-4-5", "*", _usd(3, 15, 3.75, 6, 0.3), 200_000, _usd(6, 22.5, 7.5, 12, 0.6)),
    Row(
        "claude-haiku-5-5",
        "*",
        _usd(0.1, 0.5, 0.125, 0.2, 0.01),
        100_000,
        _usd(0.5, 2.5, 0.625, 1.0, 0.05),
    ),
    Row("claude-haiku-4-5", "*", _usd(1, 5, 1.25, 2, 0.1)),
    Row("claude-fable-5", "*", _usd(10, 50, 12.5, 20, 1)),
    Row("claude-fable-5-1", "*", _usd(10, 50, 12.5, 20, 0.25)),
    Row("claude-mythos-5", "*", _usd(10, 50, 12.5, 20, 1)),
    Row("claude-mythos-5-1", "*", _usd(10, 50, 12.5, 20, 0.25)),
    Row("claude-mythos-preview", "*", _usd(10, 50, 12.5, 20, 1)),
    Row("glm-5.3", "zai", _usd(1.4, 4.4, 0, None, 0.26)),
    Row("glm-5.3-flash", "zai", _usd(0.15, 0.5, 0, None, 0.03)),
    Row("glm-5.2", "zai", _usd(1.4, 4.4, 0, None, 0.26)),
    Row("glm-5.1", "zai", _usd(1.4, 4.4, 0, None, 0.26)),
    Row("glm-5", "zai", _usd(1, 3.2, 0, None, 0.2)),
    Row("glm-5-code", "zai", _usd(1.2, 5, 0, None, 0.3)),
    Row("glm-5v-turbo", "zai", _usd(1.2, 4, None, None, 0.24)),
    Row("glm-4.7", "zai", _usd(0.6, 2.2, 0, None, 0.11)),
    Row("glm-4.7-flash", "zai", _usd(0, 0, 0, None, 0)),
    Row("glm-4.6", "zai", _usd(0.6, 2.2, 0, None, 0.11)),
    Row("glm-4.5", "zai", _usd(0.6, 2.2)),
    Row("glm-4.5-x", "zai", _usd(2.2, 8.9)),
    Row("glm-4.5-air", "zai", _usd(0.2, 1.1)),
    Row("glm-4.5-airx", "zai", _usd(1.1, 4.5)),
    Row("glm-4.5v", "zai", _usd(0.6, 1.8)),
    Row("glm-4.5-flash", "zai", _usd(0, 0)),
    Row("glm-4-32b-0414-128k", "zai", _usd(0.1, 0.1)),
    Row("bigmodel/glm-5.3", "zai", _usd(1.14286, 4, None, None, 0.285714)),
    Row("bigmodel/glm-5.3-flash", "zai", _usd(0.114286, 0.4, None, None, 0.032857)),
    Row("bigmodel/glm-5.3-flashx", "zai", _usd(0.285714, 1, None, None, 0.081429)),
    Row("MiniMax-M3", "compatible", _usd(0.3, 1.2, None, None, 0.06)),
    Row("MiniMax-M2.5", "compatible", _usd(0.3, 1.2, 0.375, None, 0.03)),
    Row("MiniMax-M2.5-lightning", "compatible", _usd(0.3, 2.4, 0.375, None, 0.03)),
    Row("MiniMax-M2.1", "compatible", _usd(0.3, 1.2, 0.375, None, 0.03)),
    Row("MiniMax-M2", "compatible", _usd(0.3, 1.2, 0.375, None, 0.03)),
    Row("kimi-k3", "compatible", _usd(3, 15, 3, 6, 0.3)),
    Row("kimi-k3.1-pro", "compatible", _usd(2, 10, 2, 4, 0.2)),
    Row("kimi-k2.7-code", "compatible", _usd(0.95, 4, None, None, 0.19)),
    Row("kimi-k2.6", "compatible", _usd(0.95, 4, None, None, 0.16)),
    Row("kimi-k2.5", "compatible", _usd(0.6, 3, None, None, 0.1)),
    Row("deepseek-v4-pro", "compatible", _usd(1.32, 3.96, 0, None, 0.044)),
    Row("deepseek-flash", "compatible", _usd(0.3, 1.2, 0, None, 0.006)),
    Row("deepseek-v4-flash", "compatible", _usd(0.3, 1.2, 0, None, 0.006)),
    Row("deepseek-v3.2", "compatible", _usd(0.28, 0.4, None, None, 0.028)),
)
