"""The cloud credentials of one worker: what was issued, who waits for one.

    IssuedCredential (control channel) -> CredentialStore.update -> CloudCredential of a target
    a 401 of a target                  -> CloudCredential.reject -> asks for another one

A target holds its `CloudCredential` for as long as it lives; what it carries is replaced.
"""

from collections.abc import Callable, Iterable

from ccrelay.wire.cloud_credential import AwsKeys, BearerToken, IssuedCredential

# Called with provider, key and the serial of the credential that was refused (0: none came yet).
Refresh = Callable[[str, str, int], None]
Waiter = Callable[[], None]


class CloudCredential:
    """The credential of one target, as it is now."""

    __slots__ = ("_waiters", "issued", "refresh", "rejected")

    def __init__(self, provider: str, key: str, refresh: Refresh) -> None:
        self.issued = IssuedCredential(provider, key)
        self.refresh = refresh
        self.rejected = 0  # the serial that the cloud refused last
        self._waiters: list[Waiter] = []

    def secret(self, now_wall: float) -> AwsKeys | BearerToken | None:
        """What to send; None: none was issued, it has expired, or the cloud refused it.

        Args:
            now_wall: seconds since 1970, by the cloud's clock.
        """
        issued = self.issued
        if issued.serial <= self.rejected or 0.0 < issued.expires_at <= now_wall:
            return None
        return issued.secret

    def reject(self) -> None:
        """The cloud refused the present one as expired or unknown: ask for another."""
        if self.issued.serial > self.rejected:
            self.rejected = self.issued.serial
            self.refresh(self.issued.provider, self.issued.key, self.issued.serial)

    def wait(self, waiter: Waiter) -> None:
        """Call `waiter` once, when the next one is issued or cannot be."""
        self._waiters.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Do not call it any more."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def take(self, issued: IssuedCredential) -> None:
        """Use another one from now on, or know why there is none."""
        self.issued = issued
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter()

    def __repr__(self) -> str:
        return f"<CloudCredential {self.issued!r}>"


class CredentialStore:
    """All of a worker's, by provider and key; they outlive reloads.

    Args:
        refresh: asks the process that obtains them for another one.
    """

    __slots__ = ("_known", "refresh")

    def __init__(self, refresh: Refresh | None = None) -> None:
        self.refresh = refresh
        self._known: dict[tuple[str, str], CloudCredential] = {}

    def of(self, provider: str, key: str) -> CloudCredential:
        """The credential of one entry of `keys`; without a secret until one is issued."""
        found = self._known.get((provider, key))
        if found is None:
            found = CloudCredential(provider, key, self._ask)
            self._known[provider, key] = found
        return found

    def update(self, issued: Iterable[IssuedCredential]) -> None:
        """Take what was issued."""
        for one in issued:
            self.of(one.provider, one.key).take(one)

    def _ask(self, provider: str, key: str, serial: int) -> None:
        if self.refresh is not None:
            self.refresh(provider, key, serial)
