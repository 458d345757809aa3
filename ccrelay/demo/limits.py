"""Rate limits of the mock provider, per credential, and a ledger of accepted requests.

A request and its input tokens count when its body was read, its output tokens when it has finished.
Cache reads are not counted. A request over a limit is rejected. The ledger counts without limits,
too, so that it shows which limits a relay in front of it complied with.
"""

import datetime
import hashlib
import math
from collections.abc import Callable
from typing import Any

import msgspec

from ccrelay.demo import http1
from ccrelay.demo.rate_windows import WINDOWS, Sliding, Window, WindowKind
from ccrelay.errors import BadRequest

UNLIMITED = 1 << 62
RETRY_MAX_S = 60  # `retry-after` of a request over the limit itself, as at Anthropic

# Quantity -> its name in a rejection.
WORDS = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "input": "input tokens per minute",
    "output": "output tokens per minute",
}
# Quantity -> its part of the header name, `anthropic-ratelimit-...-limit`.
HEADERS = {
    "requests": "requests",
    "tokens": "tokens",
    "input": "input-tokens",
    "output": "output-tokens",
}
# Name in `--limits` -> field of `Quotas`.
OPTIONS = {
    "rpm": "requests",
    "tpm": "tokens",
    "itpm": "input",
    "otpm": "output",
    "concurrent": "concurrent",
}


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of each credential, per minute; None: unlimited."""

    requests: int | None = None
    tokens: int | None = None  # input without cache reads, and output
    input: int | None = None  # without cache reads
    output: int | None = None
    concurrent: int | None = None  # concurrent requests
    window: WindowKind = "sliding"
    send_headers: bool = True  # False: no rate-limit headers, and no `retry-after` in a 429
    enforced: bool = True  # False: the headers say so, and every request is served

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        window: WindowKind = "sliding",
        send_headers: bool = True,
        enforced: bool = True,
    ) -> "Quotas":
        """Read `rpm=60,tpm=80000,concurrent=4`.

        Raises:
            BadRequest: an unknown limit, or a value that is not an integer above 0.
        """
        found: dict[str, int] = {}
        for word in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = word.partition("=")
            if name not in OPTIONS:
                raise BadRequest(f"Unknown limit {name!r}; known: {', '.join(OPTIONS)}.")
            if not (value.isascii() and value.isdigit()) or int(value) == 0:
                raise BadRequest(f"Limit {name} must be an integer above 0, not {value!r}.")
            found[OPTIONS[name]] = int(value)
        return cls(window=window, send_headers=send_headers, enforced=enforced, **found)

    @property
    def unlimited(self) -> bool:
        """Whether there is no limit."""
        return all(getattr(self, name) is None for name in OPTIONS.values())

    def of(self, quantity: str) -> int | None:
        """Return the limit of a quantity named in `WORDS`."""
        limit: int | None = getattr(self, quantity)
        return limit


class Rejection(msgspec.Struct, frozen=True):
    """The message of a rejected request, and when to retry it."""

    message: str
    retry_after_s: int


class Account:
    """The rate windows, running requests and ledger entry of one credential."""

    def __init__(self, quotas: Quotas) -> None:
        self.in_flight = 0
        self._quotas = quotas
        self.reset()

    def reset(self) -> None:
        """Clear windows and ledger; running requests stay counted."""
        limits = {name: self._quotas.of(name) for name in WORDS}
        kind = WINDOWS[self._quotas.window]
        self._windows: dict[str, Window] = {
            name: kind(limit) for name, limit in limits.items() if limit is not None
        }
        self._peaks = {name: Sliding(UNLIMITED) for name in WORDS}
        self._totals = dict.fromkeys(WORDS, 0)
        self._rejected = 0
        self._in_flight_max = self.in_flight

    def admit(self, now: float, input_tokens: int) -> Rejection | None:
        """Accept a request, for which `finish` must be called once; or return a rejection."""
        rejection = self._reject(now, input_tokens)
        if rejection is not None:
            self._rejected += 1
            return rejection
        self._add(now, requests=1, tokens=input_tokens, input=input_tokens)
        self.in_flight += 1
        self._in_flight_max = max(self._in_flight_max, self.in_flight)
        return None

    def finish(self, now: float, output_tokens: int) -> None:
        """Count the output tokens of an accepted request, which has ended."""
        self._add(now, tokens=output_tokens, output=output_tokens)
        self.in_flight -= 1

    def headers(self, now: float) -> http1.Headers:
        """Return the `anthropic-ratelimit-*` fields; reset is when the window is empty."""
        fields = []
        for quantity, window in self._windows.items():
            name = f"anthropic-ratelimit-{HEADERS[quantity]}"
            left = max(0, window.limit - window.used(now))
            fields += [(f"{name}-limit", str(window.limit)), (f"{name}-remaining", str(left))]
            fields.append((f"{name}-reset", _rfc3339(window.empty_at(now))))
        return fields

    def ledger(self) -> dict[str, Any]:
        """Return the ledger entry: totals, window maxima, running requests."""
        return {
            "requests": self._totals["requests"],
            "rejected": self._rejected,
            "input_tokens": self._totals["input"],
            "output_tokens": self._totals["output"],
            "window_max": {name: seen.peak for name, seen in self._peaks.items()},
            "in_flight": self.in_flight,
            "in_flight_max": self._in_flight_max,
        }

    def _add(self, now: float, **amounts: int) -> None:
        for name, amount in amounts.items():
            self._totals[name] += amount
            self._peaks[name].add(now, amount)
            if name in self._windows:
                self._windows[name].add(now, amount)

    def _reject(self, now: float, input_tokens: int) -> Rejection | None:
        if not self._quotas.enforced:
            return None
        peak = self._quotas.concurrent
        if peak is not None and self.in_flight >= peak:
            return Rejection(_message(peak, "concurrent requests"), 1)
        # The output is not known yet: room for one token is enough to start.
        needs = {"requests": 1, "tokens": max(1, input_tokens), "input": input_tokens, "output": 1}
        waits = {
            name: window.fits_at(now, needs[name]) - now for name, window in self._windows.items()
        }
        name = max(waits, key=waits.__getitem__, default="")
        if not name or waits[name] <= 0:
            return None
        wait_s = min(RETRY_MAX_S, max(1, waits[name]))
        return Rejection(_message(self._windows[name].limit, WORDS[name]), math.ceil(wait_s))


class Limiter:
    """Rate limits of all credentials. `clock` returns seconds since the epoch."""

    def __init__(self, quotas: Quotas, clock: Callable[[], float]) -> None:
        self.quotas = quotas
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def admit(self, credential: str, input_tokens: int) -> Rejection | None:
        """Accept a request, for which `finish` must be called once; or return a rejection."""
        return self._account(credential).admit(self._clock(), input_tokens)

    def finish(self, credential: str, output_tokens: int) -> None:
        """Count the output tokens of an accepted request, which has ended."""
        self._account(credential).finish(self._clock(), output_tokens)

    def headers(self, credential: str) -> http1.Headers | None:
        """Return the rate-limit headers; None when there is no limit, [] when they are disabled."""
        if not self.quotas.send_headers:
            return []
        if self.quotas.unlimited:
            return None
        return self._account(credential).headers(self._clock())

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Return the ledger of every credential seen, by its fingerprint."""
        return {name: account.ledger() for name, account in self._accounts.items()}

    def reset(self) -> None:
        """Clear all windows and ledger entries."""
        for account in self._accounts.values():
            account.reset()

    def _account(self, credential: str) -> Account:
        name = fingerprint(credential)
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(self.quotas)
        return account


def credential_of(head: http1.RequestHead) -> str:
    """Return the credential of a request: x-api-key, else a bearer token, else ""."""
    key = head.get("x-api-key")
    if key is not None:
        return key
    scheme, _, token = (head.get("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def fingerprint(credential: str) -> str:
    """Return the name of a credential in the ledger; "none" for "".

    Not keyed, unlike the fingerprints of logs: credentials of a mock are no secrets, and tests can
    compute the name.
    """
    if not credential:
        return "none"
    return f"sha256:{hashlib.sha256(credential.encode()).hexdigest()[:8]}"


def _message(limit: int, what: str) -> str:
    return f"This request would exceed the limit of {limit:,} {what} of this key."


def _rfc3339(at: float) -> str:
    instant = datetime.datetime.fromtimestamp(math.ceil(at), datetime.UTC)
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
