"""Rows of the text log."""

import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ccrelay._fast.row_line import RowLine
from ccrelay._fast.usage import Usage
from ccrelay.config.model import Key
from ccrelay.ledger.record import Billing, Result, Try
from ccrelay.relay import log_row
from ccrelay.relay.access_log import AccessLogEntry
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.log_row import short_model
from ccrelay.types import RequestClass, TrafficClass
from tests.unit.relay.fakes import FakeDown, FakeRelay, provider
from tests.unit.relay.scenario import begin, request

CLOCK = b"14:22:10 "
WIDTHS = {
    "what": (9, 26),
    "model": (27, 43),
    "target": (44, 68),
    "outcome": (69, 82),
    "first": (83, 89),
    "total": (90, 96),
    "tokens": (97, 110),
    "cost": (111, 120),
}


def anthropic() -> Any:
    return provider("anthropic", keys=[Key(key="test-key-a", name="team-a")])


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay(anthropic())


def rows_of(
    exchange: Exchange, *, columns: int = 120, total_s: float = 38.2, **members: object
) -> list[str]:
    """The rows of an exchange with this outcome, decoded."""
    for name, value in {"result": int(Result.OK), "status": 200, **members}.items():
        setattr(exchange.outcome, name, value)
    row = RowLine(True)
    row.lay_out(columns)
    now = exchange.client.down.received_at + total_s
    entry = AccessLogEntry(
        exchange.id,
        exchange.client,
        exchange.route,
        exchange.request,
        exchange.attempt,
        exchange.outcome,
        now,
    )
    assert entry.row(row, CLOCK) == (exchange.client.kind == RequestClass.COUNT_TOKENS)
    return row.take().decode().splitlines()


def cells_of(exchange: Exchange, **members: object) -> dict[str, str]:
    row = rows_of(exchange, **members)[0]
    assert len(row) <= 120
    assert row.startswith("14:22:10 ")
    cells = {name: row[start:end].strip() for name, (start, end) in WIDTHS.items()}
    assert all(row[start - 1 : start] in (" ", "") for start, _ in WIDTHS.values())
    return cells


def tried(provider: str = "anthropic", name: str = "team-a", **members: Any) -> Try:
    found = {"key": f"hmac:{name}", "sent": "m", "started_us": 1_000_000, "ended_us": 1_410_000}
    found |= {"status": 529, "verdict": "overloaded", "error": "", **members}
    return Try(provider, found.pop("key"), name, **found)


# ---- cells


def test_a_row(relay: FakeRelay) -> None:
    down, exchange, upstream = begin(
        relay, session="3f8c41d2-77", extra=b"x-ccrelay-project: payments-api\r\n"
    )
    upstream.taps.first_event_at = down.received_at + 1.44
    exchange.client.model = exchange.attempt.candidate.sent  # type: ignore[union-attr]
    (row,) = rows_of(
        exchange,
        usage=Usage(100, 1200, 180_000, 4_200, 0, 0),
        cost_micros=123_000,
        billing=int(Billing.TOKENS),
    )
    assert row == (
        "14:22:10 payments-api main m                anthropic team-a         ok"
        "            1.44 s 38.2 s 184k/1.2k 97%   $0.123"
    )


@pytest.mark.parametrize(
    ("fields", "session", "what"),
    [
        (b"", None, "main"),
        (b"", "3f8c41d2-77", "3f8c41 main"),
        (b"x-ccrelay-project: api\r\n", "3f8c41d2-77", "api main"),
        (b"x-ccrelay-project: a-project-with-a-name\r\n", None, "a-project-w… main"),
        (b"x-ccrelay-project: \xff\x9b2J\r\n", None, "\\xff\\x9b2J main"),
    ],
)
def test_what_is_project_or_session_and_class(
    relay: FakeRelay, fields: bytes, session: str | None, what: str
) -> None:
    _, exchange, _ = begin(relay, session=session, extra=fields)
    assert cells_of(exchange)["what"] == what


@pytest.mark.parametrize("traffic", TrafficClass)
def test_the_class_is_never_cut(relay: FakeRelay, traffic: TrafficClass) -> None:
    _, exchange, _ = begin(relay, extra=b"x-ccrelay-project: " + b"p" * 300 + b"\r\n")
    assert exchange.request is not None
    exchange.request.traffic = int(traffic)
    what = cells_of(exchange)["what"]
    assert re.fullmatch(r"p+… (main|compaction|subagent|web-search|background|count_tokens)", what)


def test_other_requests_have_their_path(relay: FakeRelay) -> None:
    exchange = relay.open(FakeDown(relay.reactor), RequestClass.OTHER_V1)
    cells = cells_of(exchange)
    assert (cells["what"], cells["model"], cells["target"]) == ("POST /v1/messages", "-", "-")


def test_a_connection_that_is_gone_has_no_head(relay: FakeRelay) -> None:
    down, exchange, _ = begin(relay, session="3f8c41d2")
    down.head = None  # type: ignore[assignment]
    assert cells_of(exchange)["what"] == "main"


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("claude-sonnet-5-5", "sonnet-5-5"),
        ("claude-sonnet-4-5-20250929", "sonnet-4-5"),
        ("claude-sonnet-4-5-20250929[1m]", "sonnet-4-5[1m]"),
        ("claude-haiku-4-5@20251001", "haiku-4-5"),
        ("eu.anthropic.claude-opus-5-5-20260301-v1:0", "opus-5-5"),
        ("anthropic.claude-opus-5-5-20260301-v1:0", "opus-5-5"),
        ("anthropic/claude-sonnet-4.5", "sonnet-4.5"),
        ("claude-sonnet-5-2026-01-31", "sonnet-5"),
        ("glm-5.3", "glm-5.3"),
        ("claude-", "claude-"),
        ("", ""),
        ("-20250929", "-20250929"),
        ("gpt-2024-model", "gpt-2024-model"),
    ],
)
def test_models_are_short(name: str, short: str) -> None:
    assert short_model(name) == short


def test_short_names_take_bounded_memory() -> None:
    for number in range(2000):
        short_model(f"claude-{number}")
    assert short_model("claude-7") == "7"


@pytest.mark.parametrize(
    ("asked", "sent", "shown"),
    [
        ("claude-opus-5-5", "glm-5.3", "opus-5-5>glm-5.3"),
        ("claude-sonnet-5-5", "glm-5.3", "sonnet-…>glm-5.3"),
        ("claude-sonnet-5-5", "claude-sonnet-5-5-20260101", "sonnet-5-5"),
        ("claude-sonnet-5-5", "a-model-with-a-very-long-name", "sonnet…>a-model…"),
        ("m" * 500, "n" * 500, "mmmmmm…>nnnnnnn…"),
    ],
)
def test_asked_and_sent(asked: str, sent: str, shown: str) -> None:
    relay = FakeRelay(provider(model_mapping={"m": sent}))
    _, exchange, _ = begin(relay)
    exchange.client.model = asked
    assert cells_of(exchange)["model"] == shown


@pytest.mark.parametrize(
    ("tries", "target"),
    [
        (None, "anthropic team-a"),
        ([tried(name="team-b")], "anthropic team-a<-team-b"),
        ([tried("zai", "plan")], "anthropic team-a<-plan"),
        ([tried("z", "p")], "anthropic team-a<-z p"),
        ([tried("z", ""), tried("z", "q")], "anthropic team-a<-z q<-…"),
    ],
)
def test_targets_before_it(relay: FakeRelay, tries: list[Try] | None, target: str) -> None:
    _, exchange, _ = begin(relay)
    assert cells_of(exchange, tries=tries)["target"] == target


def test_the_same_target_twice_is_one(relay: FakeRelay) -> None:
    _, exchange, _ = begin(relay)
    assert exchange.attempt is not None
    same = tried(key=exchange.attempt.target.fingerprint)
    assert cells_of(exchange, tries=[same])["target"] == "anthropic team-a"


def test_a_provider_without_keys_stands_alone() -> None:
    relay = FakeRelay(provider(keys=[], auth="none"))
    _, exchange, _ = begin(relay)
    assert cells_of(exchange)["target"] == "one"


@pytest.mark.parametrize(
    ("members", "word", "tone"),
    [
        ({}, "ok", 0),
        ({"queued_s": 0.05}, "ok", 0),
        ({"queued_s": 3.21}, "waited 3.2 s", 1),
        ({"queued_s": 123.0}, "waited 123 s", 1),
        ({"moved_micros": 1}, "ok", 1),
        ({"result": Result.FAILOVER}, "failover", 1),
        ({"result": Result.CLIENT_LEFT, "status": 0}, "client left", 0),
        ({"result": Result.PASSED_ON, "status": 400}, "400 passed on", 1),
        ({"result": Result.REFUSED, "status": 401}, "refused 401", 2),
        ({"result": Result.LOST, "status": 529}, "lost 529", 2),
        ({"result": Result.LOST, "status": 200}, "lost", 2),
        ({"result": 0}, "unknown", 1),
    ],
)
def test_outcomes(relay: FakeRelay, members: dict[str, Any], word: str, tone: int) -> None:
    _, exchange, _ = begin(relay)
    assert cells_of(exchange, **members)["outcome"] == word
    assert log_row.tone(exchange.outcome) == tone


@pytest.mark.parametrize(
    ("members", "cost"),
    [
        ({"cost_micros": 37_000, "usage": Usage(1, 1)}, "$0.037"),
        ({"cost_micros": 37_000, "usage": Usage(1, 1), "billing": Billing.PLAN}, "$0.037p"),
        ({"cost_micros": 0, "usage": Usage(1, 1)}, "free"),
        ({"cost_micros": -1, "usage": Usage(1, 1), "billing": Billing.FREE}, "free"),
        ({"cost_micros": -1, "usage": Usage(1, 1)}, "?"),
        ({"cost_micros": -1, "usage": Usage()}, "-"),
        ({"cost_micros": -1}, "-"),
        ({"cost_micros": 0, "result": Result.LOST}, "-"),
        ({"cost_micros": 0, "usage": Usage(), "result": Result.PASSED_ON}, "-"),
    ],
)
def test_cost(relay: FakeRelay, members: dict[str, Any], cost: str) -> None:
    _, exchange, _ = begin(relay)
    assert cells_of(exchange, **members)["cost"] == cost


def test_counting_is_free(relay: FakeRelay) -> None:
    exchange = relay.open(FakeDown(relay.reactor), RequestClass.COUNT_TOKENS)
    cells = cells_of(exchange)
    assert (cells["what"], cells["cost"], cells["tokens"]) == ("count_tokens", "free", "-")


def test_a_figure_that_there_is_none_of_is_a_dash(relay: FakeRelay) -> None:
    _, exchange = request(relay)
    cells = cells_of(exchange, total_s=-1.0)
    assert (cells["first"], cells["total"], cells["tokens"]) == ("-", "-", "-")


# ---- words


def test_a_second_row_says_what_failed_and_what_it_cost(relay: FakeRelay) -> None:
    _, exchange, _ = begin(relay)
    first, second = rows_of(
        exchange, result=int(Result.FAILOVER), tries=[tried()], moved_micros=970_000
    )
    assert "failover" in first
    assert second.startswith(
        "         529 overloaded at anthropic team-a after 0.41 s; left a warm cache: $0.97 "
    )
    assert second.endswith(f" {exchange.id}")
    assert len(second) == 120


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (tried(), "529 overloaded at anthropic team-a after 0.41 s"),
        (
            tried(error="529 overloaded_error"),
            "529 overloaded_error at anthropic team-a after 0.41 s",
        ),
        (
            tried(status=0, verdict="connect_failed", name=""),
            "connect failed at anthropic hmac: after 0.41 s",
        ),
        (tried(ended_us=0), "529 overloaded at anthropic team-a after <1 ms"),
        (tried(ended_us=1_004_200), "529 overloaded at anthropic team-a after 4 ms"),
        (tried(ended_us=1_009_960), "529 overloaded at anthropic team-a after 0.01 s"),
    ],
)
def test_words_of_a_try(relay: FakeRelay, failed: Try, words: str) -> None:
    _, exchange, _ = begin(relay)
    exchange.outcome.tries = [failed]
    assert log_row.words(exchange.outcome) == words


def test_the_attempt_that_answered_is_not_said(relay: FakeRelay) -> None:
    _, exchange, _ = begin(relay)
    exchange.outcome.tries = [
        tried(error="overloaded_error: Overloaded"),
        tried("zai", "plan", status=200, verdict="answered"),
    ]
    assert log_row.words(exchange.outcome) == (
        "529 overloaded_error: Overloaded at anthropic team-a after 0.41 s"
    )


def test_the_last_error_is_said_once_and_with_its_target(relay: FakeRelay) -> None:
    _, exchange, _ = begin(relay)
    exchange.outcome.error = "Cannot reach a."
    exchange.outcome.tries = [
        tried(),
        tried("zai", "plan", status=0, verdict="lost", error="Cannot reach a."),
    ]
    assert log_row.words(exchange.outcome) == (
        "529 overloaded at anthropic team-a after 0.41 s; Cannot reach a. at zai plan after 0.41 s"
    )


def test_an_error_is_said(relay: FakeRelay) -> None:
    _, exchange = request(relay)
    rows = rows_of(exchange, result=int(Result.LOST), status=529, error="No target is available.")
    assert rows[1].startswith("         No target is available. ")


def test_without_anything_to_say_there_is_one_row(relay: FakeRelay) -> None:
    _, exchange = request(relay)
    assert len(rows_of(exchange, error="", tries=[])) == 1


# ---- hostile input


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@given(
    model=ANY_TEXT,
    error=ANY_TEXT,
    project=st.binary(max_size=200).filter(lambda b: not set(b) & {0, 10, 13}),
    columns=st.integers(31, 130),
    figures=st.lists(st.integers(-(1 << 62), 1 << 62), min_size=4, max_size=4),
    seconds=st.floats(),
    result=st.integers(0, 6),
    status=st.integers(0, 999),
    failed=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), max_size=3),
)
def test_no_input_makes_a_row_wider_or_more_than_two(
    model: str,
    error: str,
    project: bytes,
    columns: int,
    figures: list[int],
    seconds: float,
    result: int,
    status: int,
    failed: list[tuple[str, str, str]],
) -> None:
    relay = FakeRelay(anthropic())
    _, exchange, _ = begin(relay)
    exchange.client.model = model
    row = RowLine(False)
    row.lay_out(columns)
    outcome = exchange.outcome
    outcome.result, outcome.status, outcome.error = result, status, error
    outcome.cost_micros, outcome.queued_s, outcome.moved_micros = figures[0], seconds, figures[1]
    outcome.usage = Usage(figures[2] // 4, figures[3], 7)
    outcome.tries = [tried(a, b, error=c) for a, b, c in failed]
    log_row.write(
        row,
        CLOCK,
        exchange.id,
        exchange.client,
        exchange.request,
        exchange.attempt,
        outcome,
        seconds,
    )
    lines = row.take().decode("ascii").split("\n")
    assert lines.pop() == ""
    assert 1 <= len(lines) <= 2
    for line in lines:
        assert len(line) <= min(columns, 120)
        assert line.isprintable()


def test_groups() -> None:
    relay = FakeRelay(anthropic())
    _, exchange, _ = begin(relay, session="3f8c41d2-77")
    exchange.outcome.result = int(Result.OK)
    found = log_row.group(
        exchange.client, exchange.attempt, exchange.outcome, exchange.client.down.received_at + 2
    )
    assert (found.session, found.name, found.is_count) == (b"3f8c41d2-77", b"3f8c41", False)
    assert (found.target, found.seconds, found.has_failed) == ("anthropic team-a", 2.0, False)
    down = FakeDown(relay.reactor, extra=b"x-ccrelay-project: api\r\n")
    exchange = relay.open(down, RequestClass.COUNT_TOKENS)
    exchange.outcome.result = int(Result.LOST)
    found = log_row.group(exchange.client, None, exchange.outcome, down.received_at)
    assert (found.session, found.name, found.is_count) == (b"api", b"api", True)
    assert (found.target, found.has_failed, found.tone) == ("", True, 2)
