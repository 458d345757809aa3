"""`ccrelay route explain` on the live state of the running relay."""

from collections.abc import Mapping
from typing import Any

from ccrelay.cli.cells import join, pad, wrap
from ccrelay.cli.connection import Relay
from ccrelay.cli.format_counts import count, tokens
from ccrelay.cli.format_money import cost_of_one
from ccrelay.cli.format_share import percent
from ccrelay.cli.format_time import countdown, latency
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, draw

LABEL = 10
_WHY = {
    "limit": "no room",
    "cooldown": "cooldown",
    "breaker_open": "breaker open",
    "key_refused": "key refused",
    "max_concurrent": "busy",
    "tried": "tried",
}


def explain_live(
    relay: Relay,
    *,
    model: str,
    kind: str | None,
    tokens: int | None,
    images: bool,
    thinking: bool | None,
    tools: bool | None,
    headers: Mapping[str, str],
    session: str,
) -> Any:
    """Return the answer of Routing.Explain.

    Raises:
        Failed: no relay runs, or it refuses.
    """
    from ccrelay.v1.routing_pb2 import ExplainRequest, ExplainResponse

    request = ExplainRequest(
        model=model,
        traffic_class=kind or "",
        tokens=tokens or 0,
        images=images,
        headers=dict(headers),
        session=session,
    )
    if thinking is not None:
        request.thinking = thinking
    if tools is not None:
        request.tools = tools
    return relay.call("Routing/Explain", request, ExplainResponse)


def live_lines(answer: Any, model: str, now_ms: int, screen: Screen) -> list[str]:
    """Return the lines of an `ExplainResponse`, all within the screen's width."""
    lines = _labelled("request", f"{model}: {answer.traffic_class or 'main'}", screen)
    for miss in answer.rules_missed:
        text = f"{miss.rule} does not match ({'; '.join(miss.unmet)})"
        lines += _labelled("rule", text, screen)
    choice = answer.choice
    lines += _labelled("rule", f"{choice.rule} matches" if choice.rule else "none", screen)
    if choice.strategy:
        lines += _labelled("strategy", choice.strategy, screen)
    if answer.affinity_target:
        warm = f"{answer.affinity_target}, {tokens(answer.affinity_tokens)} tokens"
        lines += _labelled("cache", f"{warm} of prompt cache are there", screen)
    lines += _labelled("target", _target(answer), screen, "bold" if answer.target else "red")
    if choice.sentence:
        lines += _labelled("why", choice.sentence, screen)
    lines += ["", *_candidates(answer, now_ms, screen)]
    if answer.ineligible:
        lines += ["", screen.paint("not eligible", "bold")]
        for one in answer.ineligible:
            lines += screen.wrap(screen.text(f"  {one.provider}: {'; '.join(one.reasons)}"), 4)
    return lines + _left_out(answer, now_ms, screen)


def _left_out(answer: Any, now_ms: int, screen: Screen) -> list[str]:
    """What is left out of requests, per provider; nothing if that is nothing."""
    found: dict[str, str] = {}
    for one in answer.candidates:
        features = ", ".join(
            f"{feature.feature} ({countdown(max(feature.until_ms - now_ms, 0) / 1000)})"
            for feature in one.left_out
        )
        if features:
            found[one.target.partition("/")[0]] = features
    if not found:
        return []
    lines = ["", screen.paint("left out, because it was refused", "bold")]
    for provider, features in found.items():
        lines += screen.wrap(screen.text(f"  {provider}: {features}"), 4)
    return lines


def _target(answer: Any) -> str:
    if not answer.target:
        then = "wait in the queue" if answer.waits_ms else "get an error"
        return f"none now: it would {then}"
    sent = f" as {answer.sent_model}" if answer.sent_model else ""
    return f"{answer.target}{sent}"


def _labelled(label: str, text: str, screen: Screen, style: str = "") -> list[str]:
    first, *more = wrap(screen.text(text), screen.width - LABEL, 0, screen.ellipsis)
    lines = [screen.paint(pad(label, LABEL), "dim") + screen.paint(first, style)]
    return [*lines, *(" " * LABEL + screen.paint(line, style) for line in more)]


def _candidates(answer: Any, now_ms: int, screen: Screen) -> list[str]:
    if not answer.candidates:
        return screen.wrap("No target serves this model.")
    columns = [
        Column("", right=True),
        Column("CANDIDATE", least=18, shrink_to=10),
        Column("NOW", least=9),
        Column("ROOM", right=True),
        Column("OPEN", right=True),
        Column("FIRST", right=True, least=6),
        Column("TURN", right=True, least=6),
        Column("CACHED", right=True, least=6),
        Column("SENT AS", shrink_to=8, extra=True),
    ]
    rows = [
        [
            Cell(str(number)),
            Cell(screen.text(one.target), shorter=(screen.text(one.target.partition("/")[2]),)),
            _state(one, answer.target, now_ms, screen),
            Cell(percent(one.room) if one.HasField("room") else "-"),
            Cell(count(one.in_flight)),
            Cell(latency(one.first_event_ms)),
            Cell(cost_of_one(one.new_micros) if one.HasField("new_micros") else "?"),
            Cell(cost_of_one(one.cached_micros) if one.HasField("cached_micros") else "?"),
            Cell(screen.text(one.sent_model)),
        ]
        for number, one in enumerate(answer.candidates, 1)
    ]
    return draw(columns, rows, screen)


def _state(one: Any, target: str, now_ms: int, screen: Screen) -> Cell:
    if one.available:
        return Cell("taken", style="green") if one.target == target else Cell("available")
    left = ""
    if one.available_at_ms > now_ms:
        left = countdown((one.available_at_ms - now_ms) / 1000)
    return Cell(join([_WHY.get(one.why) or screen.text(one.why or "no"), left], " "), style="amber")
