"""The feed over real sockets: a fake management API, one that is silent, one that is gone."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.control.client import CallFailed, Client, NoRelay
from ccrelay.tui.feed import WAITING_MAX, LiveFeed
from ccrelay.tui.live import Live
from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl, usage_pb2 as us
from tests.unit.cli import examples
from tests.unit.cli.served import status
from tests.unit.tui.design import fake_relay, running

PATIENCE_S = 20.0
WHOLE = rl.WatchStatusResponse(status=status(), whole=True)


def until(condition: Callable[[], Any], what: str) -> Any:
    ends_at = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < ends_at, what
        time.sleep(0.01)
    return found


class Streams:
    """A relay whose streams stay open; each can be fed and broken."""

    def __init__(self, **answers: Any) -> None:
        self.calls = fake_relay(**answers)
        self.begin: dict[str, list[Any]] = {
            "Relay/WatchStatus": [WHOLE],
            "Exchanges/Tail": [ex.TailResponse(exchanges=examples.exchanges()[::-1])],
            "Exchanges/WatchRunning": [running()],
        }
        self.requests: list[tuple[str, Any]] = []
        self.open: list[_Open] = []
        self.is_gone = False

    def connect(self) -> "Streams":
        if self.is_gone:
            raise NoRelay("No relay runs. Start one: ccrelay serve")
        return self

    def call(self, method: str, request: Any, response_type: Any, timeout_s: Any = None) -> Any:
        return self.calls.call(method, request, response_type, timeout_s)

    def stream(self, method: str, request: Any, response_type: Any, timeout_s: Any = None) -> Any:
        self.requests.append((method, request))
        begin = self.begin[method]
        if isinstance(begin, Exception):
            raise begin
        found = _Open(method, begin)
        self.open.append(found)
        return found

    def break_all(self) -> None:
        for one in self.open:
            one.end.set()
        self.open.clear()

    def asked(self, method: str) -> list[Any]:
        return [request for name, request in self.requests if name == method]


class _Open:
    def __init__(self, method: str, begin: list[Any]) -> None:
        self.method = method
        self._left = list(begin)
        self.end = threading.Event()
        self._ours, self._theirs = socket.socketpair()

    def __enter__(self) -> "_Open":
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._theirs.close()

    def __iter__(self) -> "_Open":
        return self

    def fileno(self) -> int:
        return self._ours.fileno()

    def __next__(self) -> Any:
        if self._left:
            return self._left.pop(0)
        self._ours.settimeout(0.02)
        while not self.end.is_set():
            try:
                if not self._ours.recv(1):
                    break
            except TimeoutError:
                continue
        raise CallFailed("UNAVAILABLE", "The connection broke.")


@pytest.fixture
def feeds() -> Iterator[Callable[..., tuple[LiveFeed, Live]]]:
    made: list[LiveFeed] = []

    def make(connect: Callable[[], Any], **how: Any) -> tuple[LiveFeed, Live]:
        live = Live()
        feed = LiveFeed(live, connect, **({"retry_s": (0.05,), "silent_s": 0.4} | how))
        made.append(feed)
        return feed, live

    yield make
    for feed in made:
        feed.close()


Feeds = Callable[..., tuple[LiveFeed, Live]]


def test_all_streams_fill_the_state(feeds: Feeds) -> None:
    relay = Streams()
    feed, live = feeds(relay.connect)
    feed.start()
    until(lambda: live.status and live.running()[1] == 3 and live.exchanges()[1], "not filled")
    until(lambda: live.attempts(examples.FAILED_OVER.id), "no attempts")
    assert live.exchanges()[1] == len(examples.exchanges())
    assert live.trouble is None


def test_it_connects_again_by_itself_and_says_when(feeds: Feeds) -> None:
    relay = Streams()
    feed, live = feeds(relay.connect, retry_s=(0.2,))
    feed.start()
    until(lambda: live.status, "not filled")
    relay.is_gone = True
    relay.break_all()
    trouble = until(lambda: live.trouble, "not noticed")
    assert trouble.next_try_at_ms > int(time.time() * 1000) - 100
    until(lambda: live.trouble and "No relay runs" in live.trouble.message, "not told")
    relay.is_gone = False
    until(lambda: live.trouble is None, "not back")
    until(lambda: live.running()[1] == 3, "streams are not back")
    until(lambda: len(relay.asked("Exchanges/Tail")) >= 2, "not followed again")
    assert relay.asked("Exchanges/Tail")[-1].last == 200
    assert live.exchanges()[1] == len(examples.exchanges())  # none twice


def test_a_relay_that_is_not_there_is_waited_for(feeds: Feeds) -> None:
    relay = Streams()
    relay.is_gone = True
    feed, live = feeds(relay.connect)
    feed.start()
    trouble = until(lambda: live.trouble, "not told")
    assert trouble.message == "No relay runs. Start one: ccrelay serve"
    assert live.status is None
    relay.is_gone = False
    until(lambda: live.status, "not found")


def test_a_relay_that_accepts_and_never_answers_is_dead(
    feeds: Feeds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccrelay.tui.feed.ANSWER_S", 0.3)
    with socket.socket(socket.AF_UNIX) as listener:
        path = str(tmp_path / "s")
        listener.bind(path)
        listener.listen(64)
        feed, live = feeds(lambda: Client(path))
        feed.start()
        trouble = until(lambda: live.trouble, "not noticed")
        assert "did not answer within 0.3 s" in trouble.message


def test_a_relay_that_falls_silent_is_dead_and_its_streams_are_ended(
    feeds: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccrelay.tui.feed.ANSWER_S", 0.3)
    relay = Streams()
    feed, live = feeds(relay.connect)
    feed.start()
    until(lambda: live.status and live.running()[1], "not filled")

    def silent(request: Any) -> Any:
        raise CallFailed("DEADLINE_EXCEEDED", "The relay did not answer within 0.3 s.")

    good = relay.calls.answers["Relay/GetStatus"]
    relay.calls.answers["Relay/GetStatus"] = silent
    trouble = until(lambda: live.trouble, "not noticed")
    assert "did not answer" in trouble.message
    assert live.running() == ((), 0)
    relay.calls.answers["Relay/GetStatus"] = good
    until(lambda: live.trouble is None and live.running()[1] == 3, "not back")


def test_a_relay_where_nothing_happens_is_alive(feeds: Feeds) -> None:
    relay = Streams()
    feed, live = feeds(relay.connect, silent_s=0.05)
    feed.start()
    until(lambda: len(relay.calls.of("Relay/GetStatus")) >= 4, "no sign of life was asked for")
    assert live.trouble is None
    assert len(relay.asked("Relay/WatchStatus")) == 1


def test_an_old_relay_is_watched_without_what_it_cannot_tell(feeds: Feeds) -> None:
    relay = Streams()
    relay.begin["Exchanges/WatchRunning"] = CallFailed("UNIMPLEMENTED", "no")  # type: ignore[assignment]
    feed, live = feeds(relay.connect)
    feed.start()
    until(lambda: live.status and live.exchanges()[1], "not filled")
    time.sleep(0.3)
    assert len(relay.asked("Exchanges/WatchRunning")) <= 2
    assert live.trouble is None
    relay.begin["Exchanges/WatchRunning"] = [running()]
    relay.break_all()  # it is upgraded
    until(lambda: live.running()[1] == 3, "not asked again")


def test_a_filter_has_a_stream_of_its_own(feeds: Feeds) -> None:
    relay = Streams()
    feed, live = feeds(relay.connect)
    feed.start()
    until(lambda: live.exchanges()[1], "not filled")
    feed.follow("project:api")
    until(lambda: live.exchanges(filtered=True)[1], "the filter is not followed")
    assert relay.asked("Exchanges/Tail")[-1].filter == "project:api"
    mine = [one for one in relay.open if one.method == "Exchanges/Tail"][-1]
    feed.follow("")
    until(lambda: mine._ours.fileno() == -1, "its stream is still open")


def test_a_filter_that_is_refused_is_told_once(feeds: Feeds) -> None:
    relay = Streams()
    feed, live = feeds(relay.connect)
    feed.start()
    until(lambda: live.exchanges()[1], "not filled")
    relay.begin["Exchanges/Tail"] = CallFailed("INVALID_ARGUMENT", "unknown word")  # type: ignore[assignment]
    feed.follow("colour:red")
    until(lambda: live.filter_problem, "not told")
    assert live.filter_problem == "unknown word"
    time.sleep(0.2)
    tried = [one for one in relay.asked("Exchanges/Tail") if one.filter]
    assert len(tried) == 1


def test_calls_are_answered_on_the_thread_that_drains(feeds: Feeds) -> None:
    woken = threading.Event()
    relay = Streams()
    feed, _ = feeds(relay.connect, wake=woken.set)
    feed.start()
    answers: list[tuple[Any, int]] = []
    request, kind = rl.GetStatusRequest(), rl.GetStatusResponse

    def done(answer: Any) -> None:
        answers.append((answer.status.version, threading.get_ident()))

    feed.call("Relay/GetStatus", request, kind, done, lambda *_: None, 5.0)
    until(lambda: feed.drain() or answers, "no answer")
    assert answers == [("0.3.0", threading.get_ident())]
    assert woken.is_set()


def test_failures_of_calls_have_their_code(feeds: Feeds) -> None:
    relay = Streams(Relay__GetVersion=CallFailed("FAILED_PRECONDITION", "not now"))
    feed, _ = feeds(relay.connect)
    feed.start()
    failures: list[tuple[str, str]] = []
    feed.call(
        "Relay/GetVersion", rl.GetVersionRequest(), rl.GetVersionResponse, lambda _: None,
        lambda message, code: failures.append((message, code)), 5.0,
    )  # fmt: skip
    until(lambda: feed.drain() or failures, "no failure")
    assert failures == [("not now", "FAILED_PRECONDITION")]


def test_too_many_calls_fail_and_wait_for_nothing(feeds: Feeds) -> None:
    feed, _ = feeds(Streams().connect)  # not started: no call is made
    failures: list[str] = []
    for _ in range(WAITING_MAX + 3):
        feed.call(
            "Relay/GetStatus", rl.GetStatusRequest(), rl.GetStatusResponse, lambda _: None,
            lambda message, code: failures.append(message), 5.0,
        )  # fmt: skip
    feed.drain()
    assert len(failures) == 3


def test_attempts_are_asked_for_again_until_the_ledger_has_them(
    feeds: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccrelay.tui.feed.ATTEMPTS_AGAIN_S", 0.01)
    answers = iter([CallFailed("NOT_FOUND", "not yet"), CallFailed("NOT_FOUND", "not yet")])
    relay = Streams(Exchanges__Get=lambda request: next(answers, examples.detail()))
    feed, live = feeds(relay.connect)
    feed.start()
    until(lambda: live.attempts(examples.FAILED_OVER.id), "no attempts")
    assert len(relay.calls.of("Exchanges/Get")) == 3


def test_a_slow_relay_holds_nothing_up(feeds: Feeds) -> None:
    answer = threading.Event()

    def slow(request: Any) -> Any:
        answer.wait(PATIENCE_S)
        return examples.prices()

    relay = Streams(Usage__Prices=slow)
    feed, live = feeds(relay.connect)
    feed.start()
    began_at = time.monotonic()
    done: list[str] = []
    feed.call(
        "Usage/Prices", us.PricesRequest(), us.PricesResponse, lambda _: done.append("slow"),
        lambda *_: None, PATIENCE_S,
    )  # fmt: skip
    feed.call(
        "Relay/GetStatus", rl.GetStatusRequest(), rl.GetStatusResponse,
        lambda _: done.append("other"), lambda *_: None, 5.0,
    )  # fmt: skip
    assert time.monotonic() - began_at < PATIENCE_S / 2
    until(lambda: feed.drain() or done, "the other call is held up")
    assert done == ["other"]
    until(lambda: live.status and live.trouble is None, "the state is held up")
    answer.set()
    until(lambda: feed.drain() or "slow" in done, "the slow call is lost")


def test_closing_ends_the_streams_and_the_threads(feeds: Feeds) -> None:
    before = threading.active_count()
    relay = Streams()
    feed, live = feeds(relay.connect)
    feed.start()
    until(lambda: live.status and live.exchanges()[1] and live.running()[1], "not filled")
    opened = list(relay.open)
    feed.close()
    until(lambda: all(one._ours.fileno() == -1 for one in opened), "streams are open")
    until(lambda: threading.active_count() <= before, "threads are left")
