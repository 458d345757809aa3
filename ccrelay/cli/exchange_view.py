"""One exchange as lines of a terminal: what happened, why, and what it cost."""

from typing import Any

from ccrelay.cli.cells import join, pad, wrap
from ccrelay.cli.exchanges_view import Burst, model_of, outcome_cell, short_id, what
from ccrelay.cli.format_counts import size, tokens
from ccrelay.cli.format_money import UNKNOWN, cost_of_one, dollars, price
from ccrelay.cli.format_time import elapsed, latency, short, stamp
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, draw
from ccrelay.v1 import providers_pb2

LABEL = 10  # cells of the column of labels

_ITEMS = {
    "input": "input",
    "cache_write_5m": "cache write, 5 min",
    "cache_write_1h": "cache write, 1 h",
    "cache_read": "cache read",
    "output": "output",
}
_SURCHARGES = {
    "fast_mode": "fast mode",
    "inference_us": "inference in the US",
    "web_search": "web searches",
    "otherwise": "priced otherwise",
}
OTHERWISE = (
    "Today's prices do not give this cost: the price table or the configuration was another then, "
    "or there is a surcharge that the record does not tell."
)
_REASONS = {
    "affinity": "its prompt cache is there",
    "strategy": "chosen by the strategy",
    "only": "the only target for the model",
    "queue": "free after a wait",
    "failover": "another target had failed",
    "last_resort": "nothing better was left",
    "panic": "all breakers were open",
}
_PASSED = {
    "available": "could have taken it: the strategy preferred the other one",
    "limit": "no room in its limits",
    "cooldown": "in cooldown",
    "breaker_open": "breaker open",
    "key_refused": "its key was refused",
    "max_concurrent": "as many at once as allowed",
    "tried": "tried before",
    "provider_failed": "not tried: its provider had failed with another key",
}

# The routing strategy chooses a provider, and no key.
_OTHER_KEY = "could have taken it: key_strategy or affinity preferred the other key"


def exchange_lines(answer: Any, screen: Screen) -> list[str]:
    """Return the lines of an `ExchangesGetResponse`, all within the screen's width."""
    one = answer.exchange
    outcome = outcome_cell(Burst((one,)))
    title = f"{short_id(one.id)}  {what(Burst((one,)))}"
    lines = screen.ends(screen.text(title), stamp(one.started_at_ms))
    lines[0] = screen.paint(lines[0], "bold")
    has_status = str(one.status) in outcome.text  # which is said behind it
    facts = [
        outcome.shorter[-1] if has_status and outcome.shorter else outcome.text,
        f"HTTP {one.status}" if one.status else "nothing was sent",
        model_of(one),
        "stream" if one.stream else "one piece",
        f"stopped by {one.stop_reason}" if one.stop_reason else "",
    ]
    lines += _labelled("outcome", join(facts), screen, outcome.style)
    if one.error:
        lines += _labelled("error", one.error, screen, "red")
    lines += _labelled("time", _times(one), screen)
    origin = [
        f"session {one.session}" if one.session else "",
        f"agent {one.agent}" if one.agent else "",
        f"{size(one.bytes_in)} in, {size(one.bytes_out)} out",
    ]
    lines += _labelled("request", join(origin), screen)
    lines += ["", *_attempts(answer, screen), "", *_why(answer, screen)]
    return [*lines, "", *_bill(answer, screen)]


def _labelled(label: str, text: str, screen: Screen, style: str = "") -> list[str]:
    indent = LABEL if screen.width >= 50 else 2
    lines = wrap(screen.text(text), screen.width - indent, 0, screen.ellipsis)
    first, *more = [screen.paint(line, style) for line in lines]
    if indent < LABEL:
        title = [screen.paint(label, "dim")] if label else []
        return [*title, *(" " * indent + line for line in (first, *more))]
    return [screen.paint(pad(label, indent), "dim") + first, *(" " * indent + x for x in more)]


def _times(one: Any) -> str:
    return join(
        [
            f"first event after {latency(one.first_event_ms)}" if one.first_event_ms else "",
            f"{elapsed(one.duration_ms)} in all",
            f"waited {elapsed(one.queued_ms)} for room" if one.queued_ms >= 1 else "",
            f"the relay itself {short(one.own_us / 1000)}" if one.own_us else "",
        ]
    )


def _attempts(answer: Any, screen: Screen) -> list[str]:
    if not answer.attempts:
        return screen.wrap("No target was tried.")
    columns = [
        Column("ATTEMPT", right=True),
        Column("TARGET", least=12, shrink_to=10),
        Column("STARTED", right=True),
        Column("TOOK", right=True),
        Column("STATUS", right=True),
        Column("VERDICT", shrink_to=8),
        Column("ERROR", shrink_to=10, extra=not any(one.error for one in answer.attempts)),
    ]
    rows = [
        [
            Cell(str(number)),
            Cell(screen.text(f"{one.provider}/{one.key}"), shorter=(screen.text(one.key),)),
            Cell(short(one.started_ms)),
            Cell(short(one.duration_ms)),
            Cell(str(one.status) if one.status else "-"),
            Cell(screen.text(one.verdict), style="" if one.verdict == "answered" else "amber"),
            Cell(screen.text(one.error)),
        ]
        for number, one in enumerate(answer.attempts, 1)
    ]
    return draw(columns, rows, screen)


def _why(answer: Any, screen: Screen) -> list[str]:
    choice, one = answer.choice, answer.exchange
    rule = f"rule {choice.rule}" if choice.rule else "no rule"
    strategy = f"strategy {choice.strategy}" if choice.strategy else ""
    reason = choice.sentence
    if not reason:
        known = _REASONS.get(choice.reason, choice.reason) or "not known"
        reason = join([f"{one.provider}/{one.key}" if one.provider else "", known], ": ")
    lines = _labelled("why", reason, screen)
    lines += _labelled("", join([rule, strategy]), screen)
    for at, passed in enumerate(choice.passed):
        text = f"{passed.target}: {_PASSED.get(passed.why, passed.why)}"
        if passed.why == "available" and passed.target.partition("/")[0] == one.provider:
            text = f"{passed.target}: {_OTHER_KEY}"
        lines += _labelled("not taken" if at == 0 else "", text, screen)
    return lines


def _bill(answer: Any, screen: Screen) -> list[str]:
    cost = answer.exchange.cost
    if not cost.known:
        has_tokens = any(answer.exchange.tokens.ListFields())
        if not has_tokens:
            return screen.wrap("No tokens were reported: nothing to bill.")
        lines = screen.wrap("The price of this model is not known. Set one: providers[].prices.")
        return [*lines, *_unpriced(answer, screen)]
    columns = [
        Column("BILL", least=18, shrink_to=10),
        Column("TOKENS", right=True),
        Column("PER MILLION", right=True),
        Column("AMOUNT", right=True),
    ]
    is_otherwise = any(line.item == "otherwise" for line in answer.bill)
    rows = [_bill_row(line, screen, is_otherwise=is_otherwise) for line in answer.bill]
    sums = [Cell("all"), Cell(""), Cell(""), Cell(cost_of_one(cost.micros))]
    lines = draw(columns, rows, screen, sums=sums)
    saved = cost.uncached_micros - cost.micros
    facts = [
        OTHERWISE if is_otherwise else "",
        _paid(cost.billing),
        f"Without the cache it had cost {cost_of_one(cost.uncached_micros)}." if saved else "",
        f"The move from a warm cache lost {dollars(cost.moved_micros)}."
        if cost.moved_micros
        else "",
        f"Prices: {cost.prices_version}." if cost.prices_version else "",
    ]
    return [*lines, *screen.wrap(screen.text(join(facts, " ")))]


def _bill_row(line: Any, screen: Screen, *, is_otherwise: bool) -> list[Cell]:
    if line.item in _SURCHARGES:
        count = str(line.tokens) if line.tokens else "-"
        return [
            Cell(_SURCHARGES[line.item]),
            Cell(count),
            Cell("-"),
            Cell(cost_of_one(line.micros)),
        ]
    name = screen.text(_ITEMS.get(line.item, line.item))
    if is_otherwise:
        return [Cell(name), Cell(tokens(line.tokens)), Cell("-"), Cell("-")]
    amounts = [Cell(price(line.price_micros)), Cell(cost_of_one(line.micros))]
    return [Cell(name), Cell(tokens(line.tokens)), *amounts]


def _paid(billing: int) -> str:
    if billing == providers_pb2.BILLING_PLAN:
        return "Covered by a plan; amounts are at list price."
    return "" if billing != providers_pb2.BILLING_FREE else "Free: a local model."


def _unpriced(answer: Any, screen: Screen) -> list[str]:
    used = answer.exchange.tokens
    columns = [
        Column("BILL", least=18, shrink_to=10),
        Column("TOKENS", right=True),
        Column("AMOUNT", right=True),
    ]
    rows = [
        [Cell(_ITEMS[name]), Cell(tokens(getattr(used, name))), Cell(UNKNOWN)]
        for name in _ITEMS
        if getattr(used, name)
    ]
    return draw(columns, rows, screen)
