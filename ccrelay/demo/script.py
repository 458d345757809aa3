"""Which fault hits which request: fault calls, and the script of a server.

A fault call is written `NAME[,option=value...]`; `NAME=value` sets the first option, a bare number
is a status. A sequence is calls joined by commas: `529,status=429,retry_after=1,ok`.
"""

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from ccrelay.demo.faults import FAULTS
from ccrelay.demo.plan import Plan, Scene
from ccrelay.errors import BadRequest


class Call(msgspec.Struct, frozen=True):
    """A fault with its options, checked."""

    name: str
    options: dict[str, Any] = {}

    def plan(self, scene: Scene, *, body_is_read: bool) -> Plan:
        """Yield the steps of the fault."""
        return FAULTS[self.name].plan(scene, self.options, body_is_read=body_is_read)


OK = Call("ok")


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What a server does with the requests that come, in order."""

    calls: tuple[Call, ...] = (OK,)  # one per request; the last repeats
    rate: float = 1.0  # share of the requests that the script hits at all, 0 to 1
    seed: int | None = None  # of the dice for `rate`
    times: int | None = None  # after so many faults all is well
    delay_s: float = 0.0  # before every answer
    by_key: tuple[tuple[str, Call], ...] = ()  # end of a credential -> what always hits it
    paths: tuple[str, ...] = ("/v1/messages",)  # other paths are spared, `delay_s` included

    @classmethod
    def parse(cls, text: str) -> "Script":
        """Return the script of a sequence like `529,529,ok`. Raises BadRequest."""
        return cls(calls=parse_calls(text))


class ScriptRun:
    """A script under way: counts the requests and rolls the dice. May be changed meanwhile."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._by_key = dict(script.by_key)
        self._dice = random.Random(script.seed)
        self._requests = 0
        self._faults = 0

    def use(self, call: Call, *, key: str | None = None) -> None:
        """Let this hit every later request, or those whose credential ends with `key`."""
        if key is not None:
            self._by_key[key] = call
            return
        self._script = msgspec.structs.replace(self._script, calls=(call,), rate=1.0, times=None)

    def next_call(self, path: str, credential: str = "") -> Call:
        """Return what is to happen to the next request."""
        if path not in self._script.paths:
            return OK
        for end, call in self._by_key.items():
            if credential.endswith(end) and call.name != "ok":
                return call
        calls = self._script.calls
        call = calls[min(self._requests, len(calls) - 1)]
        self._requests += 1
        spared = self._script.times is not None and self._faults >= self._script.times
        if call.name == "ok" or spared or self._dice.random() >= self._script.rate:
            return OK
        self._faults += 1
        return call

    def delay_s(self, path: str) -> float:
        """Return how long the answer to a request is held back."""
        return self._script.delay_s if path in self._script.paths else 0.0


def parse_calls(text: str) -> tuple[Call, ...]:
    """Read a sequence of fault calls.

    Raises:
        BadRequest: an unknown fault or option, or a value of the wrong type.
    """
    calls = tuple(_checked(name, options) for name, options in _split(text))
    if not calls:
        raise BadRequest("No fault is named. See ccrelay mock --list-faults.")
    return calls


def parse_call(text: str) -> Call:
    """Read exactly one fault call. Raises BadRequest."""
    calls = parse_calls(text)
    if len(calls) > 1:
        raise BadRequest(f"One fault is wanted here, not {len(calls)}: {text}")
    return calls[0]


def _split(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    # No option is called like a fault (a test sees to that), so a word tells which it is.
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
            raise BadRequest(f"There is no fault {name!r}. See ccrelay mock --list-faults.")
        current = (name, {next(iter(FAULTS[name].types), "value"): value} if equals else {})
    if current is not None:
        yield current


def _checked(name: str, options: dict[str, str]) -> Call:
    return Call(name, FAULTS[name].convert(options))
