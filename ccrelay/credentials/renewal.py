"""When one credential is obtained again, and what the workers are told. No clock, no thread.

    due --begin--> running --succeeded--> issued, due again before it expires
                      +------failed-----> due after a pause; the old one is used to its end

What makes it due earlier: the cloud refuses it, or a file that it depends on has changed.
"""

import random
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from ccrelay.credentials.source import Obtained, ObtainFailed
from ccrelay.runtime.credentials_link import CredentialEntry
from ccrelay.wire.cloud_credential import IssuedCredential

MARGIN_S: Final = 300.0  # before the end, or a fifth of its life if that is more
MARGIN_SHARE: Final = 0.2
MARGIN_SHARE_MAX: Final = 0.5  # of a life of a few minutes
JITTER_SHARE: Final = 0.1  # earlier by up to so much of the delay: relays start together
DELAY_MIN_S: Final = 1.0
EXPIRED_DELAY_S: Final = 30.0  # it had expired when it came: the clock of this machine is ahead
PAUSE_FIRST_S: Final = 1.0
PAUSE_MAX_S: Final = 60.0
FINAL_PAUSE_FIRST_S: Final = 60.0  # where a person has to do something
FINAL_PAUSE_MAX_S: Final = 300.0
# Between attempts that a cloud's refusal, or a waiting request, asks for.
REFUSED_PAUSE_FIRST_S: Final = 5.0
REFUSED_PAUSE_MAX_S: Final = 300.0
REFUSED_FORGOTTEN_S: Final = 600.0  # a credential that worked so long was refused for its age
HALF_OPEN_S: Final = 60.0  # then one that was refused, and is all there is, is tried once more
REPEAT_S: Final = 600.0  # the same failure is logged again after that

Tell = Callable[..., None]
SAME_AGAIN: Final = ObtainFailed(
    "the cloud refuses this credential, and its source gives the same one again",
    "check that it was not revoked, and the clock of this machine",
    is_final=True,
)


class Now(NamedTuple):
    """One instant on two clocks, seconds: since 1970, and one that never jumps."""

    wall: float
    steady: float


class Renewal:
    """Renews one credential.

    Args:
        entry: what is needed.
        issued: the newest of a process before; None: there is none.
        rng: spreads the refreshes of relays that start together.
        tell: receives the credential_* events: level, name, fields.
    """

    def __init__(
        self,
        entry: CredentialEntry,
        issued: IssuedCredential | None,
        rng: random.Random,
        tell: Tell,
    ) -> None:
        self.entry = entry
        self.issued = issued or IssuedCredential(entry.provider, entry.key)
        self.is_running = False
        self._is_outdated = False  # what is running began before a file was changed
        self._rng = rng
        self._tell = tell
        self._due = Now(0.0, 0.0)
        self._began_at = float("-inf")
        self._issued_at = float("-inf")
        self._failures = 0
        self._refusals = 0
        self._refused_at = float("-inf")
        self._refused_serial = -1
        self._told = ""  # the failure that was logged last
        self._told_at = float("-inf")
        self._is_end_told = False

    def is_due(self, now: Now) -> bool:
        """Whether an attempt is to begin; by either clock: one stops while a machine sleeps."""
        is_time = now.steady >= self._due.steady or now.wall >= self._due.wall
        return is_time and not self.is_running

    def begin(self, now: Now) -> None:
        """An attempt starts."""
        self.is_running = True
        self._is_outdated = False
        self._began_at = now.steady

    def succeeded(self, obtained: Obtained, now: Now) -> IssuedCredential | None:
        """A credential was given; what the workers are told, None: nothing new."""
        self.is_running = False
        self._failures = 0
        life_s = obtained.expires_at - now.wall if obtained.expires_at else None
        if life_s is not None and life_s <= 0.0:
            self._on_expired_already(now, life_s)
        elif self._told:
            self._tell_of("info", "credential_recovered", method=obtained.method)
            self._told = ""
        self._is_end_told = False
        is_same = obtained.secret == self.issued.secret
        is_refused = self._refused_serial == self.issued.serial > 0
        if is_same and is_refused and now.steady - self._refused_at < HALF_OPEN_S:
            self._set_due(now, self._refused_at + HALF_OPEN_S - now.steady)
            return self._refused_again(obtained, now)
        self._set_due(now, self._delay_s(life_s))
        serial = self.issued.serial if is_same and not is_refused else self.issued.serial + 1
        issued = msgspec.structs.replace(
            self.issued,
            secret=obtained.secret,
            serial=serial,
            expires_at=obtained.expires_at,
            error="",
        )
        if issued == self.issued:
            return None
        self._issued_at = now.steady
        lives_s = None if life_s is None else round(life_s)
        self._tell_of("debug", "credential_issued", method=obtained.method, lives_s=lives_s)
        self.issued = issued
        return issued

    def failed(self, failure: ObtainFailed, now: Now) -> IssuedCredential | None:
        """None was given; what the workers are told, None: nothing new."""
        self.is_running = False
        first_s, max_s = (
            (FINAL_PAUSE_FIRST_S, FINAL_PAUSE_MAX_S)
            if failure.is_final
            else (PAUSE_FIRST_S, PAUSE_MAX_S)
        )
        pause_s = min(max_s, first_s * 2.0 ** min(self._failures, 16))
        self._failures += 1
        pause_s *= 1.0 - self._rng.random() * JITTER_SHARE
        self._set_due(now, pause_s)
        self._tell_failure(failure.reason, failure.hint, now, pause_s)
        issued = msgspec.structs.replace(self.issued, error=_sentence(failure))
        if issued == self.issued:
            return None
        self.issued = issued
        return issued

    def refused(self, serial: int, now: Now) -> None:
        """The cloud refused the credential with this serial; 0: a request waits for the first."""
        if serial != self.issued.serial:
            return  # another one was issued meanwhile
        if serial and serial != self._refused_serial:
            if now.steady - self._issued_at > REFUSED_FORGOTTEN_S:
                self._refusals = 0
            self._refused_serial, self._refused_at = serial, now.steady
            self._refusals += 1
            self._tell_of("info", "credential_refused", serial=serial)
        earlier = max(0, self._refusals - 1)
        pause_s = min(REFUSED_PAUSE_MAX_S, REFUSED_PAUSE_FIRST_S * 2.0 ** min(earlier, 16))
        self._hasten(now, max(0.0, self._began_at + pause_s - now.steady))

    def settings_changed(self, now: Now) -> None:
        """A file with keys or settings was changed: what it says is used at once."""
        self._refusals = 0
        self._failures = 0
        self._refused_at = float("-inf")
        self._is_outdated = True
        self._hasten(now, 0.0)

    def caches_changed(self, now: Now) -> None:
        """A token that others renew was changed: what has failed is tried again."""
        if self._failures:
            self.settings_changed(now)

    def look(self, now: Now) -> None:
        """Say it when the last credential has expired without another."""
        is_over = 0.0 < self.issued.expires_at <= now.wall and self._failures > 0
        if is_over and not self._is_end_told:
            self._is_end_told = True
            self._tell_of("error", "credential_expired", reason=self.issued.error)

    def _refused_again(self, obtained: Obtained, now: Now) -> IssuedCredential | None:
        self._tell_failure(SAME_AGAIN.reason, SAME_AGAIN.hint, now, HALF_OPEN_S)
        issued = msgspec.structs.replace(
            self.issued, expires_at=obtained.expires_at, error=_sentence(SAME_AGAIN)
        )
        if issued == self.issued:
            return None
        self.issued = issued
        return issued

    def _on_expired_already(self, now: Now, life_s: float) -> None:
        reason = f"the credential had expired {-life_s:.0f} s ago when it was given"
        self._tell_failure(reason, "check the clock of this machine", now, EXPIRED_DELAY_S)

    def _delay_s(self, life_s: float | None) -> float:
        """Seconds until the next attempt, of a credential that lives so long; None: for ever."""
        if life_s is None:
            return float("inf")
        if life_s <= 0.0:
            return EXPIRED_DELAY_S
        margin_s = min(max(MARGIN_S, life_s * MARGIN_SHARE), life_s * MARGIN_SHARE_MAX)
        delay_s = (life_s - margin_s) * (1.0 - self._rng.random() * JITTER_SHARE)
        return max(DELAY_MIN_S, delay_s)

    def _set_due(self, now: Now, delay_s: float) -> None:
        delay_s = 0.0 if self._is_outdated else delay_s
        self._due = Now(now.wall + delay_s, now.steady + delay_s)

    def _hasten(self, now: Now, delay_s: float) -> None:
        if now.steady + delay_s < self._due.steady:
            self._set_due(now, delay_s)

    def _tell_failure(self, reason: str, hint: str, now: Now, retry_s: float) -> None:
        left_s = self.issued.expires_at - now.wall
        is_valid = self.issued.secret is not None and (not self.issued.expires_at or left_s > 0.0)
        if reason == self._told and now.steady - self._told_at < REPEAT_S:
            return
        self._told, self._told_at = reason, now.steady
        self._tell_of(
            "warning" if is_valid else "error",
            "credential_failed",
            reason=reason,
            hint=hint,
            valid_s=round(left_s) if is_valid and self.issued.expires_at else None,
            retry_s=round(retry_s, 1),
        )

    def _tell_of(self, level: str, event: str, **fields: object) -> None:
        self._tell(
            level, event, provider=self.entry.provider, key=self.entry.key_name or None, **fields
        )


def _sentence(failure: ObtainFailed) -> str:
    return f"{failure.reason}; {failure.hint}"
