"""The price of a model at a provider, as it is charged per request: integers, no objects.

`ccrelay.ledger.pricing` holds the rules; this is the same arithmetic in machine words.
"""

from ccrelay._fast.usage import Usage
from ccrelay.config.model import Provider
from ccrelay.ledger.prices import PRICES_VERSION, WEB_SEARCH_MICROS
from ccrelay.ledger.prices_by_region import RENAMING
from ccrelay.ledger.pricing import (
    PriceList,
    configured_price,
    cost_micros,
    percents,
    price_at,
    uncached_micros,
)

CONFIGURED = "config"
_SEARCH_MICROS = int(WEB_SEARCH_MICROS)
# What is written into a ledger; a sum that absurd comes of an absurd report.
MICROS_MAX = 1 << 53
# Of a sum in 64 bits.
_PICOS_MAX = 1 << 62


class Tariff:
    """What tokens cost.

    Args:
        price: the list.
        version: of the price table, or `config`.
        fast_percent: of the price in fast mode.
        us_percent: of the price for inference in the US.
    """

    __slots__ = (
        "_above",
        "_above_tokens",
        "_cache_read",
        "_cache_write_1h",
        "_cache_write_5m",
        "_fast_percent",
        "_input",
        "_output",
        "_tokens_max",
        "_us_percent",
        "price",
        "version",
    )

    def __init__(
        self, price: PriceList, version: str, fast_percent: int = 100, us_percent: int = 100
    ) -> None:
        self.price = price
        self.version = version
        self._fast_percent = fast_percent
        self._us_percent = us_percent
        self._input = self._output = self._cache_read = 0
        self._cache_write_5m = self._cache_write_1h = 0
        self._above_tokens = price.above_tokens
        self._above: Tariff | None = None
        if price.above is not None:
            self._above = Tariff(price.above, version, fast_percent, us_percent)
        columns = (
            price.input,
            price.output,
            price.cache_read,
            price.cache_write_5m,
            price.cache_write_1h,
        )
        # Beyond it a sum may not fit into 64 bits; every price of the table allows 400 million.
        self._tokens_max = _PICOS_MAX // (max(*columns, 1) * fast_percent * us_percent // 100)
        if self._tokens_max > 0:
            self._input, self._output, self._cache_read = columns[:3]
            self._cache_write_5m, self._cache_write_1h = columns[3:]

    def cost(self, usage: Usage) -> int:
        """Millionths of a dollar, rounded half up."""
        prompt = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
        if self._above is not None and prompt > self._above_tokens:
            return self._above.cost(usage)
        if prompt + usage.output > self._tokens_max or usage.searches > 1_000_000:
            return min(cost_micros(self.price, usage, self._percent(usage)), MICROS_MAX)
        picos = (
            usage.input * self._input
            + usage.cache_write_5m * self._cache_write_5m
            + usage.cache_write_1h * self._cache_write_1h
            + usage.cache_read * self._cache_read
            + usage.output * self._output
        )
        return self._micros(picos, usage)

    def uncached(self, usage: Usage) -> int:
        """As `cost`, had the same tokens been sent without a prompt cache."""
        prompt = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
        if self._above is not None and prompt > self._above_tokens:
            return self._above.uncached(usage)
        if prompt + usage.output > self._tokens_max or usage.searches > 1_000_000:
            return min(uncached_micros(self.price, usage, self._percent(usage)), MICROS_MAX)
        return self._micros(prompt * self._input + usage.output * self._output, usage)

    def _percent(self, usage: Usage) -> int:
        percent = self._fast_percent if usage.fast else 100
        return percent * (self._us_percent if usage.in_us else 100) // 100

    def _micros(self, picos: int, usage: Usage) -> int:
        if usage.fast or usage.in_us:
            picos = picos * self._percent(usage) // 100
        return (picos + 500_000) // 1_000_000 + usage.searches * _SEARCH_MICROS

    def __repr__(self) -> str:
        return f"<Tariff {self.version} {self.price}>"


def tariff_at(provider: Provider, sent: str, asked: str = "") -> Tariff | None:
    """The tariff of a model at a provider; None: unknown. Arguments as of `price_at`."""
    price = price_at(provider, sent, asked)
    if price is None:
        return None
    names = (sent, asked) if provider.type in RENAMING and asked else (sent,)
    is_configured = any(configured_price(name, provider.prices) is not None for name in names)
    fast, in_us = max(percents(name) for name in names)
    return Tariff(price, CONFIGURED if is_configured else PRICES_VERSION, fast, in_us)
