"""Selects the fault of each request: parsing of fault calls, and the script of a server.

Syntax of a fault call: `NAME[,option=value...]`; `NAME=value` sets the first option, a number alone
is a status. A sequence is a comma-separated list of calls: `529,status=429,retry_after=1,ok`.
"""

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from ccrelay.demo.faults import FAULTS
from ccrelay.demo.plan import Plan, RequestContext
from ccrelay.errors import BadRequest


class FaultCall(msgspec.Struct, frozen=True):
    """A fault and its options, validated."""

    name: str
    options: dict[str, Any] = {}

    def plan(self, context: RequestContext, *, body_is_read: bool) -> Plan:
        """Yield the steps of the fault."""
        return FAULTS[self.name].plan(context, self.options, body_is_read=body_is_read)


OK = FaultCall("ok")


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests get which fault."""

    calls: tuple[FaultCall, ...] = (OK,)  # one per request; the last one repeats
    rate: float = 1.0  # share of the requests that get a fault, 0 to 1
    seed: int | None = None  # of the random numbers for `rate`
    times: int | None = None  # number of faults, then no more
    delay_s: float = 0.0  # before every response
    by_key: tuple[tuple[str, FaultCall], ...] = ()  # suffix of a credential -> its fault
    paths: tuple[str, ...] = ("/v1/messages",)  # other paths get neither fault nor delay

    @classmethod
    def parse(cls, text: str) -> "Script":
        """Parse a sequence like `529,529,ok`. Raises BadRequest."""
        return cls(calls=parse_calls(text))


class ScriptRun:
    """The state of a script: counts requests, draws random numbers. The fault can be changed."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._by_key = dict(script.by_key)
        self._random = random.Random(script.seed)
        self._requests = 0
        self._faults = 0

    def set_fault(self, call: FaultCall, *, key: str | None = None) -> None:
        """Use this fault for all later requests, or for those whose credential ends with `key`."""
        if key is not None:
            self._by_key[key] = call
            return
        self._script = msgspec.structs.replace(self._script, calls=(call,), rate=1.0, times=None)

    def next_call(self, path: str, credential: str = "") -> FaultCall:
        """Return the fault of the next request."""
        if path not in self._script.paths:
            return OK
        for end, call in self._by_key.items():
            if credential.endswith(end) and call.name != "ok":
                return call
        calls = self._script.calls
        call = calls[min(self._requests, len(calls) - 1)]
        self._requests += 1
        exhausted = self._script.times is not None and self._faults >= self._script.times
        if call.name == "ok" or exhausted or self._random.random() >= self._script.rate:
            return OK
        self._faults += 1
        return call

    def delay_s(self, path: str) -> float:
        """Return the delay of the response, seconds."""
        return self._script.delay_s if path in self._script.paths else 0.0


def parse_calls(text: str) -> tuple[FaultCall, ...]:
    """Parse a sequence of fault calls.

    Raises:
        BadRequest: an unknown fault or option, or a value of the wrong type.
    """
    calls = tuple(_checked(name, options) for name, options in _split(text))
    if not calls:
        raise BadRequest("No fault given. See ccrelay mock --list-faults.")
    return calls


def parse_call(text: str) -> FaultCall:
    """Parse exactly one fault call. Raises BadRequest."""
    calls = parse_calls(text)
    if len(calls) > 1:
        raise BadRequest(f"Expected one fault, got {len(calls)}: {text}")
    return calls[0]


def _split(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    # No option has the name of a fault (a test asserts it), so each word is unambiguous.
    current: tuple[str, dict[str, str]] | None = None
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = word.partition("=")
        if current is not None and equals and name not in FAULTS:
            current[1][name] = value
            continue
        if current is not None:
            yield current
        if name.isdigit() and not equals:
            name, equals, value = "status", "=", name
        if name not in FAULTS:
            raise BadRequest(f"Unknown fault {name!r}. See ccrelay mock --list-faults.")
        current = (name, {next(iter(FAULTS[name].types), "value"): value} if equals else {})
    if current is not None:
        yield current


def _checked(name: str, options: dict[str, str]) -> FaultCall:
    return FaultCall(name, FAULTS[name].convert(options))
