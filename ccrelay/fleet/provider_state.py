"""Live state of a provider: dialect, endpoint, credentials, request plans."""

import hashlib
import random
from math import inf

from ccrelay._fast.affinity_table import hash64
from ccrelay._fast.endpoint_stats import EndpointStats
from ccrelay._fast.head_writer import RequestPlan
from ccrelay._fast.key_pool import KeyPool
from ccrelay._fast.rate_limits import TargetLimits
from ccrelay._fast.refusals import Refusals
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Health, Key, KeyStrategy, Provider
from ccrelay.fleet.credential_store import CloudCredential, CredentialStore
from ccrelay.fleet.endpoint import Endpoint, OnChange
from ccrelay.providers.base import Dialect
from ccrelay.providers.registry import dialect_for

CLIENT_COOLDOWNS_MAX = 1024
# What a client's own request to a cloud may carry, and what the relay writes itself there: header
# lines of a bridged request (`Bridged.lines`), of a signature, of a token.
BRIDGED_FIELDS = (
    b"anthropic-beta",
    b"anthropic-version",
    b"anthropic-workspace-id",
    b"amz-sdk-invocation-id",
    b"amz-sdk-request",
    b"api-key",
    b"content-encoding",  # a body that is bridged was unpacked
    b"x-amz-content-sha256",
    b"x-amz-date",
    b"x-amz-security-token",
    b"x-goog-user-project",
)

_KEY_STRATEGIES: dict[KeyStrategy, int] = {
    "most-room": 0,
    "least-loaded": 1,
    "round-robin": 2,
    "random": 3,
}


class Target:
    """One credential of one provider, with its request plans.

    `plan` is the usual one. A pass-through target has two more, which drop the credential header
    that carried a relay token. Where the credential is a cloud's, no plan has it: it is a line of
    each request.
    """

    __slots__ = (
        "_decoded",
        "_secret",
        "credential",
        "fingerprint",
        "index",
        "lacks_until",
        "learn_at",
        "limited",
        "limits",
        "name",
        "plan",
        "plan_no_bearer",
        "plan_no_key",
        "priority",
        "provider",
        "refusals",
        "seed",
        "slot",
        "weight",
    )

    def __init__(
        self,
        provider: "ProviderState",
        key: Key | None,
        limits: TargetLimits,
        index: int,
        credentials: CredentialStore | None = None,
    ) -> None:
        self.provider = provider
        self.index = index  # in its provider's key pool
        self.limits = limits
        self.refusals = Refusals(limits)
        self.slot = limits.slot
        self.learn_at = 0.0  # when its response headers are read again
        self.weight = key.weight if key else 1
        self.priority = key.priority if key else 0
        dialect = provider.dialect
        if key is None:
            self.fingerprint = "client" if dialect.passes_client_credential else "none"
        else:
            self.fingerprint = fingerprint(key.key)
        self.name = (key.name if key else None) or self.fingerprint
        # Independent of slot and order: all workers and nodes must hash alike, over reloads.
        # So without the installation's key, which fingerprints have.
        identity = _identity(key.key) if key else self.fingerprint
        self.seed = hash64(f"{provider.name}\n{identity}".encode())
        self.limited = key is not None and _limit(limits, key)
        secret = key.key if key else None
        # A cloud's, as it is now; None: it is a key, or no requests are sent.
        self.credential: CloudCredential | None = None
        # End of the cooldown for want of a credential; 0.0: there is none. Monotonic seconds.
        self.lacks_until = 0.0
        if key is not None and key.credential is not None:
            secret = None  # its text only names it
            if credentials is not None:
                self.credential = credentials.of(provider.name, key.key)
        self._secret = secret
        self._decoded: dict[int, RequestPlan] = {}
        self.plan = _plan(dialect, secret)
        self.plan_no_key = self.plan_no_bearer = self.plan
        if dialect.passes_client_credential:
            self.plan_no_key = _plan(dialect, None, drop=(b"x-api-key",))
            self.plan_no_bearer = _plan(dialect, None, drop=(b"authorization",))

    def decoded_plan(self, plan: RequestPlan) -> RequestPlan:
        """The variant of one of this target's plans for a body that was decompressed."""
        found = self._decoded.get(id(plan))
        if found is None:
            drop = {id(self.plan_no_key): b"x-api-key", id(self.plan_no_bearer): b"authorization"}
            drop[id(self.plan)] = b""
            found = _plan(
                self.provider.dialect, self._secret, drop=(b"content-encoding", drop[id(plan)])
            )
            self._decoded[id(plan)] = found
        return found

    def __repr__(self) -> str:
        return f"<Target {self.provider.name} {self.fingerprint}>"


def _identity(secret: str) -> str:
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{digest[:8]}"


def _limit(limits: TargetLimits, key: Key) -> bool:
    """Set the configured limits; returns whether one of them counts tokens."""
    limits.limit(
        rpm=key.rpm_limit or 0,
        tpm=key.tpm_limit or 0,
        itpm=key.itpm_limit or 0,
        otpm=key.otpm_limit or 0,
        max_concurrent=key.max_concurrent or 0,
    )
    return any((key.tpm_limit, key.itpm_limit, key.otpm_limit))


def _plan(dialect: Dialect, key: str | None, drop: tuple[bytes, ...] = ()) -> RequestPlan:
    bridged = BRIDGED_FIELDS if dialect.bridges else ()
    return RequestPlan(
        prefix=dialect.prefix(),
        host=dialect.host(),
        lines=[*dialect.credential_lines(key), *dialect.static_headers],
        pass_credentials=dialect.passes_client_credential,
        drop_names=[*dialect.drop_names, *bridged, *filter(None, drop)],
        drop_betas=dialect.drop_betas,
    )


class ProviderState:
    """One enabled provider.

    Args:
        provider: its resolved configuration.
        health: settings of breaker and cooldowns.
        memory: the shared memory; None: private memory, for tests and read-only commands.
        slots: one target slot per configured key; one for a provider without keys.
        endpoint_slot: slot of its endpoint.
        on_change: called when the breaker's state changes.
        credentials: those of clouds; None: requests are not sent from here.
    """

    __slots__ = (
        "_key_strategy",
        "bridges",
        "client_cooldowns",
        "clock_read_at",
        "clock_skew_s",
        "config",
        "dialect",
        "endpoint",
        "key_pool",
        "limited",
        "name",
        "passes_client_credential",
        "priority",
        "repairs_stream",
        "seed",
        "targets",
        "translates_errors",
        "turn",
        "validates",
        "weight",
    )

    def __init__(
        self,
        provider: Provider,
        health: Health,
        *,
        memory: SharedMemory | None = None,
        slots: list[int] | None = None,
        endpoint_slot: int = 0,
        on_change: OnChange | None = None,
        credentials: CredentialStore | None = None,
    ) -> None:
        if memory is None:
            memory = SharedMemory.private(
                targets=max(len(provider.keys), 1), endpoints=1, bindings=8
            )
        slots = slots if slots is not None else list(range(max(len(provider.keys), 1)))
        self.config = provider
        self.name = provider.name
        self.weight = provider.weight
        self.priority = provider.priority
        self.seed = hash64(provider.name.encode())
        self.turn = 0.0  # the current weight of smooth round-robin
        self.dialect = dialect_for(provider)
        self.endpoint = Endpoint(
            provider.name, EndpointStats(memory, endpoint_slot), health, on_change=on_change
        )
        keys: list[tuple[Key | None, int]] = [
            (key, slot) for key, slot in zip(provider.keys, slots, strict=False) if key.enabled
        ]
        if not provider.keys:
            keys = [(None, slots[0])]
        self.bridges = self.dialect.bridges
        # How far its clock is ahead of ours, as its responses told last, and when they are read
        # next. Signatures and expiries go by its clock.
        self.clock_skew_s = 0.0
        self.clock_read_at = 0.0
        self.targets = [
            Target(self, key, TargetLimits(memory, slot), index, credentials)
            for index, (key, slot) in enumerate(keys)
        ]
        self.key_pool = KeyPool(
            [target.limits for target in self.targets],
            [target.weight for target in self.targets],
            [target.priority for target in self.targets],
            [target.seed for target in self.targets],
        )
        self.limited = any(target.limited for target in self.targets)
        self.passes_client_credential = self.dialect.passes_client_credential
        # Cooldowns of clients' own credentials, by hash: end time, monotonic seconds. A cooldown of
        # the target would affect all clients.
        self.client_cooldowns: dict[int, float] = {}
        # Whether it rejects thinking blocks without Claude's signature.
        self.validates = provider.signatures == "claude"
        self.translates_errors = self.dialect.translates_errors
        self.repairs_stream = self.dialect.repairs_stream
        self._key_strategy = _KEY_STRATEGIES[provider.key_strategy]

    def pick(self, rng: random.Random) -> int:
        """Index of a key, by the key strategy, among those ready in the last survey; -1: none."""
        match self._key_strategy:
            case 0:
                return self.key_pool.most_room()
            case 1:
                return self.key_pool.least_loaded()
            case 2:
                return self.key_pool.in_turn()
            case _:
                return self.key_pool.at_random(rng.random())

    def usable(self, now: float) -> bool:
        """Whether the breaker admits requests and a key is not disabled."""
        if self.endpoint.available(now):
            for target in self.targets:
                if target.limits.cooldown_until() < inf:
                    return True
        return False

    def cools_down(self, credential: int, now: float) -> bool:
        """Whether a client's own credential was rate-limited here."""
        if not self.client_cooldowns:
            return False
        return self.client_cooldowns.get(credential, 0.0) > now

    def cool_down_client(self, credential: int, until: float) -> None:
        """Put a client's own credential into cooldown, in this worker only."""
        if len(self.client_cooldowns) >= CLIENT_COOLDOWNS_MAX:
            del self.client_cooldowns[next(iter(self.client_cooldowns))]
        self.client_cooldowns[credential] = until

    def __repr__(self) -> str:
        return f"<ProviderState {self.name} {len(self.targets)} targets {self.endpoint!r}>"
