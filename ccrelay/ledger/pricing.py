"""Token costs: the price that applies to a model, and actual and expected costs of exchanges.

Costs follow Anthropic's usage fields: input, cache writes by cache lifetime, cache reads and output
each have a price, and some models a higher one for long prompts. Fast mode, the region and web
searches count where the usage names them (`percent_for`); what it does not name (batches) does not.

Sums are integers: picodollars per token represent every price of the table exactly.
"""

import fnmatch
import re
from collections.abc import Mapping

import msgspec

from ccrelay._fast.usage import Usage
from ccrelay.config.model import Price, Provider, ProviderType
from ccrelay.ledger.prices import (
    FAST_MODELS,
    FAST_PERCENT,
    PRICES,
    UNBILLED,
    US_PERCENT,
    WEB_SEARCH_MICROS,
)
from ccrelay.ledger.prices_by_region import LIST_PERCENT, RENAMING, region_percent

PICOS_PER_MICRO = 1_000_000
# Caches live for 5 minutes or an hour; a longer lifetime than this means an hour.
TTL_SHORT_S = 300.0

_WINDOW = re.compile(r"\[1m\]\Z", re.IGNORECASE)
# Of Bedrock: the region of an inference profile, and the vendor.
_VENDOR = re.compile(r"(?:[a-z]{2,6}(?:-[a-z]{2,4})?\.)?[a-z]+\.(?=[a-z])", re.IGNORECASE)
# What may follow a model's name without changing its price, the last part first: Bedrock's version,
# Vertex AI's, OpenRouter's variants, the date. (`:free` and `-fast` change it.)
_SUFFIX = re.compile(
    r"(?:-v[0-9](?::[0-9]+(?::[0-9]+k)?)?"
    r"|@[0-9a-z.]+"
    r"|:(?:beta|thinking|extended|nitro|floor|online|exacto)"
    r"|-latest|-thinking"
    r"|-20[0-9]{6}|-20[0-9]{2}-[0-9]{2}-[0-9]{2})\Z",
    re.IGNORECASE,
)
_SUFFIXES_MAX = 4
# OpenRouter's full names, Snowflake and SAP put the version first.
_VERSION_FIRST = re.compile(r"(?:anthropic--)?(claude)-([0-9]+(?:-[0-9]+)?)-([a-z]+)\Z")


class PriceList(msgspec.Struct, frozen=True, gc=False):
    """Picodollars per token: 3 dollars per million tokens are 3,000,000."""

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    above_tokens: int = 0  # longer prompts cost `above`
    above: "PriceList | None" = None

    def at(self, prompt_tokens: int) -> "PriceList":
        """The prices for a prompt of `prompt_tokens`, cached or not."""
        if self.above is not None and prompt_tokens > self.above_tokens:
            return self.above
        return self

    def fresh(self, ttl_s: float) -> int:
        """Price of a prompt token not in the cache yet, which Claude Code requests to be cached.

        Never less than an input token: vendors that cache automatically list writes as 0 and bill
        the tokens as input.
        """
        write = self.cache_write_1h if ttl_s > TTL_SHORT_S else self.cache_write_5m
        return write if write > self.input else self.input


def price_list(price: Price, above_tokens: int = 0, above: Price | None = None) -> PriceList:
    """A configured price with defaults: missing prices equal the input price."""
    base = _picos(price.input)
    return PriceList(
        input=base,
        output=_picos(price.output),
        cache_read=_picos(price.cache_read, base),
        cache_write_5m=_picos(price.cache_write_5m, base),
        cache_write_1h=_picos(price.cache_write_1h, base),
        above_tokens=above_tokens,
        above=price_list(above) if above is not None else None,
    )


def price_at(provider: Provider, sent: str, asked: str = "") -> PriceList | None:
    """The prices of a model at a provider, with what its region adds; None: unknown.

    Args:
        provider: resolved.
        sent: the model sent.
        asked: the model asked for, which is the same one at a cloud where `sent` tells nothing: a
            deployment, the ARN of an application's inference profile.
    """
    found = price_for(provider.type, sent, provider.prices, region_percent(provider, sent))
    if found is None and asked and provider.type in RENAMING:
        return price_for(provider.type, asked, provider.prices, region_percent(provider, sent))
    return found


def price_for(
    provider_type: ProviderType,
    model: str,
    overrides: Mapping[str, Price],
    percent: int = LIST_PERCENT,
) -> PriceList | None:
    """The prices of a model at a provider; None: unknown.

    A name may include `[1m]`, a date (`-20250929`, `@20250929`, `-2025-09-29`, `-latest`), a vendor
    (`anthropic/claude-sonnet-4.5`), a variant that costs the same (`:beta`, `:thinking`), and
    Bedrock's region, vendor and version (`us.anthropic.claude-sonnet-4-5-20250929-v1:0`). The
    longest form that is known counts.

    Args:
        provider_type: type of the provider; the table has no prices for Ollama.
        model: the model sent.
        overrides: the provider's `prices`: exact names first, then globs in order.
        percent: of the list price; configured prices are what they say.
    """
    configured = configured_price(model, overrides)
    if configured is not None:
        return price_list(configured)
    if provider_type in UNBILLED:
        return None
    for name in _spellings(model):
        folded = _fold(name)
        found = _TABLE.get((provider_type, folded)) or _TABLE.get(("*", folded))
        if found is not None:
            return _scaled(found, percent)
    return None


def configured_price(model: str, overrides: Mapping[str, Price]) -> Price | None:
    """The price of a model by a provider's `prices`; None: they do not name it."""
    if not overrides:
        return None
    names = _spellings(model)
    for name in names:
        if name in overrides:
            return overrides[name]
    for pattern, price in overrides.items():
        # Brackets are literal, as in model_mapping.
        glob = pattern.replace("[", "[[]")
        if any(fnmatch.fnmatchcase(name, glob) for name in names):
            return price
    return None


def percents(model: str) -> tuple[int, int]:
    """What fast mode and inference in the US cost of a model's price, in percent of it."""
    names = {_fold(name) for name in _spellings(model)}
    is_claude = any(name.startswith("claude-") for name in names)
    return FAST_PERCENT if names & FAST_MODELS else 100, US_PERCENT if is_claude else 100


def percent_for(model: str, usage: Usage) -> int:
    """What an exchange costs of a model's price, in percent of it."""
    fast, in_us = percents(model)
    return (fast if usage.fast else 100) * (in_us if usage.in_us else 100) // 100


def cost_micros(price: PriceList, usage: Usage, percent: int = 100) -> int:
    """Cost of an exchange in millionths of a dollar, rounded half up.

    Args:
        price: of the model at the provider.
        usage: as the provider reported it.
        percent: of the price (`percent_for`).
    """
    prompt = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
    now = price.at(prompt)
    picos = (
        usage.input * now.input
        + usage.cache_write_5m * now.cache_write_5m
        + usage.cache_write_1h * now.cache_write_1h
        + usage.cache_read * now.cache_read
        + usage.output * now.output
    )
    return _micros(picos * percent // 100) + usage.searches * WEB_SEARCH_MICROS


def uncached_micros(price: PriceList, usage: Usage, percent: int = 100) -> int:
    """As `cost_micros`, had the same tokens been sent without a prompt cache."""
    prompt = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
    now = price.at(prompt)
    picos = prompt * now.input + usage.output * now.output
    return _micros(picos * percent // 100) + usage.searches * WEB_SEARCH_MICROS


def expected_micros(
    price: PriceList, *, fresh_tokens: int, cached_tokens: int, output_tokens: int, ttl_s: float
) -> float:
    """Expected cost of a turn in millionths of a dollar.

    Args:
        price: prices of the model at the provider.
        fresh_tokens: prompt tokens not in its cache, which are written to it.
        cached_tokens: prompt tokens read from its cache.
        output_tokens: tokens of the response.
        ttl_s: requested lifetime of the cache, seconds.
    """
    now = price.at(fresh_tokens + cached_tokens)
    picos = (
        fresh_tokens * now.fresh(ttl_s)
        + cached_tokens * now.cache_read
        + output_tokens * now.output
    )
    return picos / PICOS_PER_MICRO


def switch_micros(price_here: PriceList, prefix_tokens: int, ttl_s: float) -> int:
    """Cost of moving a cached prefix here: written once more instead of read."""
    now = price_here.at(prefix_tokens)
    return _micros(prefix_tokens * max(now.fresh(ttl_s) - now.cache_read, 0))


def _scaled(price: PriceList, percent: int) -> PriceList:
    if percent == LIST_PERCENT:
        return price
    return PriceList(
        input=price.input * percent // 100,
        output=price.output * percent // 100,
        cache_read=price.cache_read * percent // 100,
        cache_write_5m=price.cache_write_5m * percent // 100,
        cache_write_1h=price.cache_write_1h * percent // 100,
        above_tokens=price.above_tokens,
        above=None if price.above is None else _scaled(price.above, percent),
    )


def _spellings(model: str) -> list[str]:
    """The full name, then shorter and shorter forms of it."""
    names = [model]
    plain = _WINDOW.sub("", model)
    for name in (plain, plain.rpartition("/")[2]):
        names += _shortened(name)
    names += _shortened(_VENDOR.sub("", names[-1], count=1))
    return list(dict.fromkeys(names))


def _shortened(name: str) -> list[str]:
    """A name, and what is left of it without one suffix after another."""
    names = [name]
    for _ in range(_SUFFIXES_MAX):
        name = _SUFFIX.sub("", name)
        if name == names[-1]:
            break
        names.append(name)
    return names


def _fold(name: str) -> str:
    # GLM-4.7 and glm-4.7 are one model, and OpenRouter writes claude-sonnet-4.5.
    return _VERSION_FIRST.sub(r"\1-\3-\2", name.lower().replace(".", "-"))


def _picos(dollars: float | None, default: int = 0) -> int:
    # Dollars per million tokens are micro-dollars per token.
    return default if dollars is None else round(dollars * PICOS_PER_MICRO)


def _micros(picos: int) -> int:
    return (picos + PICOS_PER_MICRO // 2) // PICOS_PER_MICRO


_TABLE: dict[tuple[str, str], PriceList] = {
    (row.provider, _fold(row.model)): price_list(row.price, row.above_tokens, row.above)
    for row in PRICES
}
