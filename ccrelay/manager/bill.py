"""The lines of a bill, and the prices in force."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ccrelay._fast.usage import Usage
from ccrelay.config.model import Price, Provider
from ccrelay.ledger.prices import PRICES, WEB_SEARCH_MICROS
from ccrelay.ledger.pricing import (
    PICOS_PER_MICRO,
    PriceList,
    cost_micros,
    percents,
    price_at,
    price_list,
    uncached_micros,
)
from ccrelay.ledger.record import Billing, Record
from ccrelay.v1 import exchanges_pb2, usage_pb2

SEARCHES_MAX = 100  # of one exchange; more come of another price rather than of searches

# Picodollars per token are millionths of a dollar per million tokens: the same number.


def bill_of(record: Record, providers: Sequence[Provider]) -> list[exchanges_pb2.BillLine]:
    """Tokens, each kind with its price and amount, and surcharges; amounts add up to the cost.

    The prices are those of today. A record does not say whether fast mode, the region or web
    searches were charged: that is inferred where one combination of them, and no other, gives cost
    and uncached cost to the millionth. Where none does (the table or the configuration is another
    by now), tokens have no price, and one line `otherwise` has the whole cost.
    """
    if not record.has_usage:
        return []
    price = _price_of(record, providers)
    found = _surcharges(record, price) if price is not None and record.cost_micros >= 0 else None
    if price is None or found is None:
        return [*_priced(record, None), *_line("otherwise", max(record.cost_micros, 0))]
    lines = _priced(record, price)
    base = _micros(_picos(record, price))
    fast = _micros(_picos(record, price) * found.fast // 100) - base
    searches = found.searches * WEB_SEARCH_MICROS
    in_us = record.cost_micros - base - fast - searches
    if lines:  # each line is rounded by itself
        largest = max(lines, key=lambda line: line.micros)
        largest.micros += base - sum([line.micros for line in lines])
    return [
        *lines,
        *_line("fast_mode", fast),
        *_line("inference_us", in_us),
        *_line("web_search", searches, found.searches),
    ]


class _Surcharges(NamedTuple):
    """What is charged beside tokens at list price: percents of it, and a number of searches."""

    fast: int
    in_us: int
    searches: int


def _surcharges(record: Record, price: PriceList) -> _Surcharges | None:
    """Those that give the recorded amounts exactly; None: none do, or several."""
    plain = _Surcharges(100, 100, 0)
    if record.cost_micros == _micros(_picos(record, price)):
        return plain
    fast, in_us = percents(record.sent)
    found = {
        _Surcharges(one, other, searches)
        for one in {100, fast}
        for other in {100, in_us}
        if (searches := _searches(record, price, one * other // 100)) is not None
    }
    picos = _picos(record, price)
    # A percentage of nothing is no difference: of those with the same amounts the least.
    distinct = {
        (_micros(picos * one.fast // 100), one.searches): one
        for one in sorted(found, reverse=True)
        if _gives(record, price, one)
    }
    return distinct.popitem()[1] if len(distinct) == 1 else None


def _searches(record: Record, price: PriceList, percent: int) -> int | None:
    """How many explain what is left of the cost; None: no number does."""
    left = record.cost_micros - _micros(_picos(record, price) * percent // 100)
    count, rest = divmod(left, WEB_SEARCH_MICROS)
    return count if rest == 0 and 0 <= count <= SEARCHES_MAX else None


def _gives(record: Record, price: PriceList, charged: _Surcharges) -> bool:
    percent = charged.fast * charged.in_us // 100
    usage = Usage(
        record.input,
        record.output,
        record.cache_read,
        record.cache_write_5m,
        record.cache_write_1h,
        searches=charged.searches,
    )
    amounts = (cost_micros(price, usage, percent), uncached_micros(price, usage, percent))
    return amounts == (record.cost_micros, record.uncached_micros)


def _price_of(record: Record, providers: Sequence[Provider]) -> PriceList | None:
    provider = next((one for one in providers if one.name == record.provider), None)
    if provider is None or record.billing == Billing.FREE:
        return None
    return price_at(provider, record.sent, record.model)


def _prices_by_kind(record: Record, price: PriceList | None) -> list[tuple[str, int, int]]:
    prompt = record.input + record.cache_read + record.cache_write_5m + record.cache_write_1h
    now = price.at(prompt) if price is not None else None
    return [
        ("input", record.input, now.input if now else 0),
        ("cache_write_5m", record.cache_write_5m, now.cache_write_5m if now else 0),
        ("cache_write_1h", record.cache_write_1h, now.cache_write_1h if now else 0),
        ("cache_read", record.cache_read, now.cache_read if now else 0),
        ("output", record.output, now.output if now else 0),
    ]


def _picos(record: Record, price: PriceList) -> int:
    return sum([tokens * each for _, tokens, each in _prices_by_kind(record, price)])


def _micros(picos: int) -> int:
    return (picos + PICOS_PER_MICRO // 2) // PICOS_PER_MICRO


def _priced(record: Record, price: PriceList | None) -> list[exchanges_pb2.BillLine]:
    return [
        exchanges_pb2.BillLine(
            item=item, tokens=tokens, price_micros=each, micros=_micros(tokens * each)
        )
        for item, tokens, each in _prices_by_kind(record, price)
        if tokens
    ]


def _line(item: str, micros: int, count: int = 0) -> list[exchanges_pb2.BillLine]:
    """A line without tokens; none without an amount."""
    return [exchanges_pb2.BillLine(item=item, tokens=count, micros=micros)] if micros else []


def prices_of(providers: Iterable[Provider]) -> list[usage_pb2.ModelPrice]:
    """The prices in force: those of the configuration, then the built-in table.

    A model whose longer prompts cost more has two rows: that for longer prompts has the threshold.
    """
    found = [
        _row(model, provider.name, price, configured=True)
        for provider in providers
        for model, price in provider.prices.items()
    ]
    for row in PRICES:
        found.append(_row(row.model, row.provider, row.price, configured=False))
        if row.above is not None:
            above = _row(row.model, row.provider, row.above, configured=False)
            above.above_tokens = row.above_tokens
            found.append(above)
    return found


def _row(model: str, provider: str, price: Price, *, configured: bool) -> usage_pb2.ModelPrice:
    known = price_list(price)
    return usage_pb2.ModelPrice(
        model=model,
        provider=provider,
        configured=configured,
        input_micros=known.input,
        output_micros=known.output,
        cache_read_micros=known.cache_read,
        cache_write_5m_micros=known.cache_write_5m,
        cache_write_1h_micros=known.cache_write_1h,
    )
