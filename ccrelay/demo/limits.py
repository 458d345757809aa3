"""Limits of the demo provider, per credential, and a ledger of what was let through.

A request counts when its body is there, with its input tokens; what it produced counts when it is
over. Cache reads count for nothing. One request over a limit is refused, as a provider would; the
ledger counts whether there are limits or not, so that it shows what a relay in front kept to.
"""

import datetime
import hashlib
import math
from collections.abc import Callable
from typing import Any

import msgspec

from ccrelay.demo import wire
from ccrelay.demo.windows import WINDOWS, Sliding, Window, WindowKind
from ccrelay.errors import BadRequest

UNLIMITED = 1 << 62
RETRY_MAX_S = 60  # a request that never fits is told to come back in a minute, as at Anthropic

# Quantity -> how a refusal calls it.
WORDS = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "input": "input tokens per minute",
    "output": "output tokens per minute",
}
# Quantity -> what stands between `anthropic-ratelimit-` and `-limit`.
HEADERS = {
    "requests": "requests",
    "tokens": "tokens",
    "input": "input-tokens",
    "output": "output-tokens",
}
# What `--limits` calls them -> the member of `Quotas`.
OPTIONS = {
    "rpm": "requests",
    "tpm": "tokens",
    "itpm": "input",
    "otpm": "output",
    "concurrent": "concurrent",
}


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """What each credential may do per minute. None: as much as it likes."""

    requests: int | None = None
    tokens: int | None = None  # input without cache reads, and output
    input: int | None = None  # without cache reads
    output: int | None = None
    concurrent: int | None = None  # at once
    window: WindowKind = "sliding"
    are_told: bool = True  # in headers; False: a 429 has none, `retry-after` included

    @classmethod
    def parse(cls, text: str, *, window: WindowKind = "sliding", are_told: bool = True) -> "Quotas":
        """Read `rpm=60,tpm=80000,concurrent=4`.

        Raises:
            BadRequest: an unknown limit, or one that is no whole number above 0.
        """
        found: dict[str, int] = {}
        for word in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = word.partition("=")
            if name not in OPTIONS:
                raise BadRequest(f"There is no limit {name!r}; there are: {', '.join(OPTIONS)}.")
            if not (value.isascii() and value.isdigit()) or int(value) == 0:
                raise BadRequest(f"Limit {name} needs a whole number above 0, not {value!r}.")
            found[OPTIONS[name]] = int(value)
        return cls(window=window, are_told=are_told, **found)

    @property
    def are_none(self) -> bool:
        """Whether nothing is limited."""
        return all(getattr(self, name) is None for name in OPTIONS.values())

    def of(self, quantity: str) -> int | None:
        """Return the limit of a quantity named in `WORDS`."""
        limit: int | None = getattr(self, quantity)
        return limit


class Refusal(msgspec.Struct, frozen=True):
    """Why a request is refused, and when it would not be."""

    message: str
    retry_after_s: int


class Account:
    """One credential: its windows, its requests under way, its line in the ledger."""

    def __init__(self, quotas: Quotas) -> None:
        self.in_flight = 0
        self._quotas = quotas
        self.forget()

    def forget(self) -> None:
        """Begin anew; what is under way stays under way."""
        limits = {name: self._quotas.of(name) for name in WORDS}
        kind = WINDOWS[self._quotas.window]
        self._windows: dict[str, Window] = {
            name: kind(limit) for name, limit in limits.items() if limit is not None
        }
        self._seen = {name: Sliding(UNLIMITED) for name in WORDS}
        self._totals = dict.fromkeys(WORDS, 0)
        self._rejected = 0
        self._in_flight_max = self.in_flight

    def admit(self, now: float, input_tokens: int) -> Refusal | None:
        """Count a request, to be settled once; or refuse it, and count that."""
        refusal = self._refusal(now, input_tokens)
        if refusal is not None:
            self._rejected += 1
            return refusal
        self._add(now, requests=1, tokens=input_tokens, input=input_tokens)
        self.in_flight += 1
        self._in_flight_max = max(self._in_flight_max, self.in_flight)
        return None

    def settle(self, now: float, output_tokens: int) -> None:
        """Count what an admitted request produced; it is no longer under way."""
        self._add(now, tokens=output_tokens, output=output_tokens)
        self.in_flight -= 1

    def headers(self, now: float) -> wire.Headers:
        """Return the `anthropic-ratelimit-*` fields; a reset is when nothing counts any more."""
        fields = []
        for quantity, window in self._windows.items():
            name = f"anthropic-ratelimit-{HEADERS[quantity]}"
            left = max(0, window.limit - window.used(now))
            fields += [(f"{name}-limit", str(window.limit)), (f"{name}-remaining", str(left))]
            fields.append((f"{name}-reset", _rfc3339(window.empty_at(now))))
        return fields

    def ledger(self) -> dict[str, Any]:
        """Return what was let through and what was refused."""
        return {
            "requests": self._totals["requests"],
            "rejected": self._rejected,
            "input_tokens": self._totals["input"],
            "output_tokens": self._totals["output"],
            "window_max": {name: seen.most for name, seen in self._seen.items()},
            "in_flight": self.in_flight,
            "in_flight_max": self._in_flight_max,
        }

    def _add(self, now: float, **amounts: int) -> None:
        for name, amount in amounts.items():
            self._totals[name] += amount
            self._seen[name].add(now, amount)
            if name in self._windows:
                self._windows[name].add(now, amount)

    def _refusal(self, now: float, input_tokens: int) -> Refusal | None:
        most = self._quotas.concurrent
        if most is not None and self.in_flight >= most:
            return Refusal(_wording(most, "concurrent requests"), 1)
        # Output is not known yet: as long as there is room for one token, it may begin.
        needs = {"requests": 1, "tokens": max(1, input_tokens), "input": input_tokens, "output": 1}
        waits = {
            name: window.fits_at(now, needs[name]) - now for name, window in self._windows.items()
        }
        name = max(waits, key=waits.__getitem__, default="")
        if not name or waits[name] <= 0:
            return None
        wait_s = min(RETRY_MAX_S, max(1, waits[name]))
        return Refusal(_wording(self._windows[name].limit, WORDS[name]), math.ceil(wait_s))


class Limiter:
    """The accounts of all credentials. `clock` tells seconds since the epoch."""

    def __init__(self, quotas: Quotas, clock: Callable[[], float]) -> None:
        self.quotas = quotas
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def admit(self, credential: str, input_tokens: int) -> Refusal | None:
        """Count a request or refuse it; one that is not refused is to be settled once."""
        return self._account(credential).admit(self._clock(), input_tokens)

    def settle(self, credential: str, output_tokens: int) -> None:
        """Count what an admitted request produced."""
        self._account(credential).settle(self._clock(), output_tokens)

    def headers(self, credential: str) -> wire.Headers | None:
        """Return the fields that tell the limits; None when there are none to tell of."""
        if not self.quotas.are_told:
            return []
        if self.quotas.are_none:
            return None
        return self._account(credential).headers(self._clock())

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Return the ledger of every credential seen, by its fingerprint."""
        return {name: account.ledger() for name, account in self._accounts.items()}

    def forget(self) -> None:
        """Begin anew: empty ledgers and windows."""
        for account in self._accounts.values():
            account.forget()

    def _account(self, credential: str) -> Account:
        name = fingerprint(credential)
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(self.quotas)
        return account


def credential_of(head: wire.RequestHead) -> str:
    """Return the key a request carries: x-api-key, else a bearer token, else ""."""
    key = head.get("x-api-key")
    if key is not None:
        return key
    scheme, _, token = (head.get("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def fingerprint(credential: str) -> str:
    """Return how the ledger calls a credential: as ccrelay's logs do; "none" for ""."""
    if not credential:
        return "none"
    return f"sha256:{hashlib.sha256(credential.encode()).hexdigest()[:8]}"


def _wording(limit: int, what: str) -> str:
    return f"This request would exceed the limit of {limit:,} {what} of this key."


def _rfc3339(at: float) -> str:
    instant = datetime.datetime.fromtimestamp(math.ceil(at), datetime.UTC)
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
