"""Allowances of keys, as providers told them last, with a forecast.

The state of a window is kept in the ledger with the exchange that told it, so that it outlives the
manager. Keys are those of the configuration, and logins that clients bring themselves.
"""

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from ccrelay.ledger.record import Record, WindowSeen
from ccrelay.manager.forecast import Sample, add_sample, forecast, is_new_window
from ccrelay.store.writes import WindowRow
from ccrelay.v1 import providers_pb2

KEYS_MAX = 4096
NAMES_MAX = 32  # windows of one key
MINUTE_S = 60
_LENGTH = re.compile(r"([0-9]{1,3})([mhd])(?:_|\Z)")
_UNIT_S = {"m": 60, "h": 3600, "d": 86_400}
# A window that has started again is shown as empty for so long, as a part of its length.
_EMPTY_FOR = 1


class WindowState(msgspec.Struct, array_like=True):
    """What is known of one window."""

    utilization: float
    limit: int
    remaining: int
    resets_at_ms: int
    status: str
    observed_at_ms: int
    samples: list[Sample]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WindowState).decode
_Key = tuple[str, str]


def length_s(name: str) -> int:
    """The length of a window by its name, seconds: `5h`, `7d_sonnet`; others are of a minute."""
    found = _LENGTH.match(name)
    return int(found[1]) * _UNIT_S[found[2]] if found is not None else MINUTE_S


class Windows:
    """The windows of all keys.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._keys: dict[_Key, dict[str, WindowState]] = {}

    def load(self, rows: Iterable[WindowRow]) -> None:
        """Take over what the ledger kept; what is known already is newer."""
        for row in rows:
            try:
                state = _decode(row.data)
            except msgspec.MsgspecError:
                continue  # of another version: the next answer tells it again
            self._of(row.provider, row.key).setdefault(row.name, state)

    def add(self, records: Sequence[Record]) -> None:
        """Take over what these exchanges told."""
        for record in records:
            if not record.windows or not record.provider:
                continue
            at_ms = (record.started_at_us + (record.head_us or record.duration_us)) // 1000
            states = self._of(record.provider, record.key)
            for seen in record.windows:
                if seen.name in states or len(states) < NAMES_MAX:
                    _take(states, seen, at_ms)

    def rows(self, records: Sequence[Record]) -> list[WindowRow]:
        """The states that these exchanges changed, as the ledger keeps them. After `add`."""
        changed = {
            (record.provider, record.key, seen.name): None
            for record in records
            for seen in record.windows
        }
        found = []
        for provider, key, name in changed:
            state = self._keys.get((provider, key), {}).get(name)
            if state is not None:
                found.append(WindowRow(provider, key, name, state.observed_at_ms, _encode(state)))
        return found

    def of(self, provider: str, fingerprint: str) -> list[providers_pb2.Window]:
        """The windows of a key: those of plans, the shortest first, then those of a minute."""
        now_ms = int(self._clock() * 1000)
        states = self._keys.get((provider, fingerprint), {})
        shown = [_shown(name, state, now_ms) for name, state in states.items()]
        return sorted(
            [window for window in shown if window is not None],
            key=lambda window: (window.length_s <= MINUTE_S, window.length_s, window.name),
        )

    def keys(self) -> list[_Key]:
        """Provider and fingerprint of all keys of which a window is known."""
        return list(self._keys)

    def _of(self, provider: str, key: str) -> dict[str, WindowState]:
        states = self._keys.pop((provider, key), None)
        if states is None:
            states = {}
            if len(self._keys) >= KEYS_MAX:
                del self._keys[next(iter(self._keys))]  # the one that was used least recently
        self._keys[provider, key] = states
        return states


def _take(states: dict[str, WindowState], seen: WindowSeen, at_ms: int) -> None:
    used = _used(seen)
    if used is None:
        return
    before = states.get(seen.name)
    samples: list[Sample] = []
    resets_at_ms = max(seen.resets_at_ms, 0)
    if before is not None and before.samples:
        is_new = is_new_window(before.samples[-1], before.resets_at_ms, (at_ms, used), resets_at_ms)
        if is_new is None:
            return
        if not is_new:
            samples = before.samples
            resets_at_ms = resets_at_ms or before.resets_at_ms
    is_late = bool(samples) and at_ms < samples[-1][0]
    add_sample(samples, (at_ms, used), length_s(seen.name))
    if is_late and before is not None:
        before.utilization = samples[-1][1]
        return
    states[seen.name] = WindowState(
        # Windows of a minute fill and empty all the time: there the last word counts.
        samples[-1][1] if length_s(seen.name) > MINUTE_S else used,
        max(seen.limit, 0),
        max(seen.remaining, 0),
        resets_at_ms,
        seen.status[:64],
        at_ms,
        samples,
    )


def _used(seen: WindowSeen) -> float | None:
    if 0 <= seen.utilization < 1e6:  # also no NaN
        return seen.utilization
    if seen.limit > 0:
        return max(1 - seen.remaining / seen.limit, 0.0)
    return None


def _shown(name: str, state: WindowState, now_ms: int) -> providers_pb2.Window | None:
    length = length_s(name)
    end_ms = state.resets_at_ms or state.observed_at_ms + length * 1000
    if now_ms >= end_ms:
        if now_ms >= end_ms + length * 1000 * _EMPTY_FOR:
            return None
        return providers_pb2.Window(
            name=name, limit=state.limit, length_s=length, observed_at_ms=state.observed_at_ms
        )
    seen = forecast(state.samples, resets_at_ms=state.resets_at_ms, length_s=length, now_ms=now_ms)
    return providers_pb2.Window(
        name=name,
        utilization=state.utilization,
        used=max(state.limit - state.remaining, 0) if state.limit else 0,
        limit=state.limit,
        resets_at_ms=state.resets_at_ms,
        length_s=length,
        observed_at_ms=state.observed_at_ms,
        full_at_ms=seen.full_at_ms,
        utilization_at_reset=seen.at_reset,
        status=state.status,
    )
