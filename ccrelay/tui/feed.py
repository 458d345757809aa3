"""What brings the state of the relay: threads that read streams and make calls.

The one that draws never waits for the relay. A relay that accepts and does not answer is as dead as
one that is gone: what is silent is asked for a sign of life, and given up.
"""

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ccrelay.cli.connection import Caller, Failed, failed as as_failed
from ccrelay.tui.live import Live, Trouble
from ccrelay.tui.page import Done, Failed as HasFailed
from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl

STATUS_EVERY_MS = 500
RUNNING_EVERY_MS = 500
TAIL_LAST = 1000
OVERLAP = 200  # exchanges that are asked for again after a break
SILENT_S = 3.0  # then it is asked for a sign of life
ANSWER_S = 4.0  # which has so long
RETRY_S = (1.0, 2.0, 4.0, 5.0)
CALLS_MAX = 4  # at once
WAITING_MAX = 32
ATTEMPTS_MAX = 64  # exchanges whose attempts wait to be asked for
ATTEMPTS_EVERY_S = 0.1
ATTEMPTS_TRIES = 5
ATTEMPTS_AGAIN_S = 0.5
UNIMPLEMENTED = "UNIMPLEMENTED"


class Silent(Exception):
    """The relay has not answered in time."""


def _calls_failed() -> tuple[type[Exception], ...]:
    from ccrelay.control.client import ControlError

    return (ControlError, Failed, Silent, OSError)


class LiveFeed:
    """Fills a `Live` from a relay, over breaks of the connection.

    Args:
        live: what is filled.
        connect: finds the relay; raises ControlError.
        wake: tells the thread that draws that something was handed over; any thread calls it.
        clock_ms: the time, milliseconds since 1970.
        forget: the relay does not answer: it is to be looked for again.
        retry_s: waits between tries, the last one again and again.
        silent_s: how long a relay may say nothing.
    """

    def __init__(
        self,
        live: Live,
        connect: Callable[[], Caller],
        wake: Callable[[], None] = lambda: None,
        *,
        clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
        forget: Callable[[], None] = lambda: None,
        retry_s: tuple[float, ...] = RETRY_S,
        silent_s: float = SILENT_S,
    ) -> None:
        self._live, self._connect, self._wake = live, connect, wake
        self._clock_ms, self._retry_s, self._silent_s = clock_ms, retry_s, silent_s
        self._forget = forget
        self._ended = threading.Event()
        self._dead = threading.Event()  # the status stream has found that the relay is dead
        self._dead.set()
        self._deaths = 0
        self._handed: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._calls: queue.Queue[tuple[Any, ...] | None] = queue.Queue(WAITING_MAX)
        self._wanted: queue.Queue[tuple[Any, int] | None] = queue.Queue(ATTEMPTS_MAX)
        self._filter = ""
        self._filter_number = 0
        self._open: set[_Reading] = set()
        self._lock = threading.Lock()
        self._heard_at: float | None = None  # when the status stream has told something
        self._problem: Exception | None = None  # why it was ended

    # ---- from the thread that draws

    def start(self) -> None:
        """Start the threads; they end with the process, or after `close`."""
        for work in (self._status, self._listen, self._tail, self._running, self._attempts):
            self._thread(work)
        for _ in range(CALLS_MAX):
            self._thread(self._serve_calls)

    def _thread(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        """End all threads; those that wait for the relay end with their connection."""
        self._ended.set()
        self._break_all()
        with contextlib.suppress(queue.Full):  # where a queue is full, nothing waits for it
            for _ in range(CALLS_MAX):
                self._calls.put_nowait(None)
        with contextlib.suppress(queue.Full):
            self._wanted.put_nowait(None)

    def drain(self) -> bool:
        """Run what was handed over; return whether there was something."""
        found = False
        while True:
            try:
                act = self._handed.get_nowait()
            except queue.Empty:
                return found
            found = True
            act()

    def call(
        self, method: str, request: Any, response_type: type[Any], done: Done,
        failed: HasFailed, timeout_s: float,
    ) -> None:  # fmt: skip
        """Make a call on another thread; one of `done` and `failed` is called by `drain`."""
        try:
            self._calls.put_nowait((method, request, response_type, done, failed, timeout_s))
        except queue.Full:
            self._hand(lambda: failed("Too many calls wait for the relay.", "UNAVAILABLE"))

    def follow(self, filter_text: str) -> None:
        """Follow exchanges with a filter beside the others; empty: no more."""
        with self._lock:
            self._filter = filter_text
            self._filter_number += 1
            number = self._filter_number
            for reading in [one for one in self._open if one.is_filtered]:
                reading.end()
        self._live.begin_filter(on=bool(filter_text))
        if filter_text:
            self._thread(lambda: self._filtered(filter_text, number))

    # ---- calls

    def _hand(self, act: Callable[[], None]) -> None:
        self._handed.put(act)
        self._wake()

    def _serve_calls(self) -> None:
        while not self._ended.is_set():
            found = self._calls.get()
            if found is None:
                return
            method, request, response_type, done, failed, timeout_s = found
            try:
                answer = self._connect().call(method, request, response_type, timeout_s)
            except _calls_failed() as error:
                self._hand(partial(failed, *_told(error)))
            else:
                self._hand(partial(done, answer))

    # ---- streams

    def _status(self) -> None:
        """Follow the status; what it finds of the relay holds for all."""
        tries = 0
        while not self._ended.is_set():
            try:
                tries = self._read_status(tries)
                error: Exception = Silent("The relay ended the stream.")
            except _calls_failed() as found:
                error = found
            self._heard_at = None
            error, self._problem = self._problem or error, None
            self._dead.set()
            self._deaths += 1
            self._forget()
            self._break_all()
            wait_s = self._retry_s[min(tries, len(self._retry_s) - 1)]
            tries += 1
            message, code = _told(error)
            hopeless = code in ("PERMISSION_DENIED", "UNAUTHENTICATED", UNIMPLEMENTED)
            at_ms = self._clock_ms() + int(wait_s * 1000)
            if self._ended.is_set():
                return
            self._live.on_trouble(Trouble(message, at_ms, hopeless))
            self._wake()
            self._ended.wait(wait_s)

    def _read_status(self, tries: int) -> int:
        caller = self._connect()
        # A call first: it has a time limit, which a stream does not.
        caller.call("Relay/GetStatus", rl.GetStatusRequest(), rl.GetStatusResponse, ANSWER_S)
        request = rl.WatchStatusRequest(interval_ms=STATUS_EVERY_MS)
        with self._reading(caller, "Relay/WatchStatus", request, rl.WatchStatusResponse) as stream:
            self._heard_at = time.monotonic()
            for message in stream:
                self._heard_at = time.monotonic()
                self._live.on_status(message)
                self._dead.clear()
                tries = 0
                self._wake()
        return tries

    def _listen(self) -> None:
        """Ask a relay that is silent for a sign of life; end the streams of one that gives none."""
        while not self._ended.wait(self._silent_s / 4):
            heard_at = self._heard_at
            if heard_at is None or time.monotonic() - heard_at < self._silent_s:
                continue
            try:
                answer = self._connect().call(
                    "Relay/GetStatus", rl.GetStatusRequest(), rl.GetStatusResponse, ANSWER_S
                )
            except _calls_failed() as error:
                if self._heard_at == heard_at:
                    self._heard_at, self._problem = None, error
                    self._break_all()
                continue
            if self._heard_at == heard_at:
                self._heard_at = time.monotonic()
                self._live.on_alive(answer.status.at_ms)

    def _tail(self) -> None:
        last = TAIL_LAST
        while not self._ended.is_set():
            with contextlib.suppress(*_calls_failed()):
                request = ex.TailRequest(last=last)
                with self._reading(
                    self._connect(), "Exchanges/Tail", request, ex.TailResponse
                ) as stream:
                    for message in stream:
                        last = OVERLAP
                        for one in self._live.on_exchanges(message):
                            self._want_attempts(one)
                        self._wake()
            self._pause()

    def _filtered(self, text: str, number: int) -> None:
        last = TAIL_LAST
        while not self._ended.is_set() and number == self._filter_number:
            try:
                request = ex.TailRequest(filter=text, last=last)
                with self._reading(
                    self._connect(), "Exchanges/Tail", request, ex.TailResponse, is_filtered=True
                ) as stream:
                    for message in stream:
                        if number != self._filter_number:
                            return
                        last = OVERLAP
                        self._live.on_filtered(message)
                        self._wake()
            except _calls_failed() as error:
                message_, code = _told(error)
                if code == "INVALID_ARGUMENT":
                    if number == self._filter_number:
                        self._live.on_filter_problem(message_)
                        self._wake()
                    return
            self._pause()

    def _running(self) -> None:
        """Follow what is under way; a relay that cannot tell is done without."""
        while not self._ended.is_set():
            try:
                request = ex.WatchRunningRequest(interval_ms=RUNNING_EVERY_MS)
                with self._reading(
                    self._connect(), "Exchanges/WatchRunning", request, ex.WatchRunningResponse
                ) as stream:
                    for message in stream:
                        self._live.on_running(message)
                        self._wake()
            except _calls_failed() as error:
                if _told(error)[1] == UNIMPLEMENTED:
                    self._wait_for_another_relay()
            self._pause()

    def _wait_for_another_relay(self) -> None:
        deaths = self._deaths
        while not self._ended.is_set() and deaths == self._deaths:
            self._ended.wait(0.2)

    def _pause(self) -> None:
        """Wait for the next try: until the relay answers the status, and a while."""
        self._ended.wait(self._retry_s[0])
        while self._dead.is_set() and not self._ended.is_set():
            self._ended.wait(0.1)

    # ---- attempts of exchanges that had several

    def _want_attempts(self, one: Any, tries: int = 0) -> None:
        if one.attempts > 1:
            with contextlib.suppress(queue.Full):
                self._wanted.put_nowait((one, tries))

    def _attempts(self) -> None:
        while not self._ended.is_set():
            found = self._wanted.get()
            if found is None:
                return
            one, tries = found
            try:
                answer = self._connect().call(
                    "Exchanges/Get",
                    ex.ExchangesGetRequest(id=one.id),
                    ex.ExchangesGetResponse,
                    ANSWER_S,
                )
            except _calls_failed():
                # The stream tells of an exchange before the ledger has it.
                if tries < ATTEMPTS_TRIES:
                    self._want_attempts(one, tries + 1)
                    self._ended.wait(ATTEMPTS_AGAIN_S)
                continue
            self._live.on_attempts(one, answer.attempts)
            self._wake()
            self._ended.wait(ATTEMPTS_EVERY_S)

    # ---- open streams

    @contextlib.contextmanager
    def _reading(
        self, caller: Caller, method: str, request: Any, response_type: type[Any],
        *, is_filtered: bool = False,
    ) -> Any:  # fmt: skip
        with caller.stream(method, request, response_type) as stream:
            reading = _Reading(stream, is_filtered=is_filtered)
            with self._lock:
                self._open.add(reading)
            try:
                if self._ended.is_set():
                    reading.end()
                yield reading
            finally:
                with self._lock:
                    self._open.discard(reading)
                reading.forget()

    def _break_all(self) -> None:
        """End all streams: those of a dead relay would wait for ever."""
        with self._lock:
            for reading in self._open:
                reading.end()


class _Reading:
    """A stream that another thread may end."""

    def __init__(self, stream: Any, *, is_filtered: bool) -> None:
        self.is_filtered = is_filtered
        self._stream = stream
        self._socket: socket.socket | None = None
        fileno = getattr(stream, "fileno", None)
        if fileno is not None and fileno() >= 0:
            # A descriptor of its own: the stream's may be closed, and its number used again.
            self._socket = socket.socket(fileno=os.dup(fileno()))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)

    def end(self) -> None:
        """End the stream; who waits for it is told."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Close the descriptor of its own."""
        if self._socket is not None:
            self._socket.close()


def _told(error: Exception) -> tuple[str, str]:
    """Return the message of a failure, and its status of gRPC."""
    if isinstance(error, Failed):
        return error.message, error.code
    if isinstance(error, Silent | OSError):
        return str(error), "UNAVAILABLE"
    end = as_failed(error)
    return end.message, end.code
