"""The live state of providers and keys, read from the shared memory as the workers see it.

Nothing is kept but what the memory cannot tell: when a breaker changed. So each call gets the
state of this instant, and asking costs the workers nothing.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from ccrelay._fast.endpoint_stats import EndpointStats
from ccrelay._fast.rate_limits import Capacity, Cooldown, Dimension, TargetLimits
from ccrelay._fast.refusals import Refusals
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config, Key, Provider
from ccrelay.config.show import shown_url
from ccrelay.fleet.breaker import Breaker, State
from ccrelay.fleet.layout import Layout
from ccrelay.fleet.model_group import FAMILIES, group_at, is_per_model
from ccrelay.ledger.prices import UNBILLED
from ccrelay.manager.clock import Clock
from ccrelay.providers.cloud_models import first_party, known_names, matcher_of
from ccrelay.types import OutputClass
from ccrelay.v1 import providers_pb2 as v1

MINUTE_S = 60
_DIMENSIONS = (
    (Dimension.REQUESTS, "requests", "rpm_limit"),
    (Dimension.TOKENS, "tokens", "tpm_limit"),
    (Dimension.INPUT, "input_tokens", "itpm_limit"),
    (Dimension.OUTPUT, "output_tokens", "otpm_limit"),
)
_WITHOUT_ROOM = frozenset({int(Capacity.FULL), int(Capacity.BUSY), int(Capacity.TIGHT)})
_BREAKER_STATES = {
    State.CLOSED: v1.Breaker.STATE_CLOSED,
    State.OPEN: v1.Breaker.STATE_OPEN,
    State.HALF_OPEN: v1.Breaker.STATE_HALF_OPEN,
}
_REASONS = {
    int(Cooldown.RATE): "rate limit of the provider (429)",
    int(Cooldown.QUOTA): "balance or quota spent",
    int(Cooldown.NO_CREDENTIAL): "no credential: the relay's log says why, and what to do",
}


class KeyFacts(Protocol):
    """What is known of keys beside the shared memory: from the ledger and from response headers."""

    def windows(self, provider: str, key: str) -> Sequence[v1.Window]:
        """Allowances that the provider told. `key`: its fingerprint."""

    def totals(self, provider: str, key: str) -> v1.Totals | None:
        """Sums since midnight; None: not known."""

    def first_event_ms(self, provider: str, key: str) -> float:
        """Average time to the first event today, milliseconds; 0: not known."""


class LiveKey:
    """One key: its words in the shared memory, with the configured limits.

    Args:
        memory: of all workers.
        slot: of the target.
        key: as configured; None: the client's own credential, or none.
        placeholder: fingerprint of a target without a key.
    """

    def __init__(self, memory: SharedMemory, slot: int, key: Key | None, placeholder: str) -> None:
        self.slot = slot
        self.config = key
        self.fingerprint = fingerprint(key.key) if key else placeholder
        self.name = (key.name if key else None) or self.fingerprint
        self.enabled = key.enabled if key else True
        self.limits = TargetLimits(memory, slot)
        self.refusals = Refusals(self.limits)
        if key is not None:
            self.limits.limit(
                rpm=key.rpm_limit or 0,
                tpm=key.tpm_limit or 0,
                itpm=key.itpm_limit or 0,
                otpm=key.otpm_limit or 0,
                max_concurrent=key.max_concurrent or 0,
            )

    def can_take(self, now: float, group: int = 0) -> bool:
        """Whether a request could go there: one that is only TIGHT is asked where nothing else is
        left."""
        state = self.limits.state(now, 0, 0, group)
        return self.enabled and state in (Capacity.READY, Capacity.TIGHT)

    def windows(self, now: float) -> list[v1.Window]:
        """Limits per minute, configured or learned: of two for one thing the tighter one."""
        found: list[v1.Window] = []
        for dim, name, setting in _DIMENSIONS:
            used = self.limits.used(dim, now)
            configured = getattr(self.config, setting) or 0 if self.config is not None else 0
            learned, others = self.limits.learned(dim, now) or (0, 0)
            options = []
            if learned:
                options.append((max(used + others, 0), learned))
                others = 0  # counts against the learned limit only
            if configured:
                options.append((used + max(others, 0), configured))
            if options:
                count, limit = max(options, key=lambda option: option[0] / option[1])
                found.append(
                    v1.Window(
                        name=name,
                        utilization=round(count / limit, 4),
                        used=count,
                        limit=limit,
                        length_s=MINUTE_S,
                    )
                )
        return found

    def room(self, now: float, windows: Iterable[v1.Window]) -> float | None:
        """What is left of the tightest limit, 0 to 1; None: no limit is known."""
        shares = [1.0 - window.utilization for window in windows]
        if self.config is not None and self.config.max_concurrent:
            shares.append(1.0 - self.limits.in_flight / self.config.max_concurrent)
        if not shares:
            # A remainder without a limit is known to the memory alone.
            share = self.limits.room(now, 0, 0)
            return share if 0.0 < share < 1.0 else None
        rests = self.limits.cooldown_until() > now
        return 0.0 if rests else round(min(max(min(shares), 0.0), 1.0), 4)


class LiveProvider:
    """One provider, enabled or not."""

    def __init__(
        self, memory: SharedMemory, provider: Provider, config: Config, layout: Layout
    ) -> None:
        self.config = provider
        self.name = provider.name
        self.stats = EndpointStats(memory, layout.endpoints[provider.name])
        self.breaker = Breaker(self.stats, config.health)
        self.matcher = matcher_of(provider)
        self.passes = passes_credential(provider)
        slots = layout.targets[provider.name]
        keys: list[Key | None] = [*provider.keys] or [None]
        placeholder = "client" if self.passes else "none"
        self.keys = [
            LiveKey(memory, slot, key, placeholder) for key, slot in zip(keys, slots, strict=False)
        ]

    def can_take(self, model: str, now: float) -> bool:
        """Whether a request for a model could go there now."""
        sent = self.matcher.resolve(model)
        if sent is None or not self.config.enabled or not self.breaker.available(now):
            return False
        group = group_at(self.config.type, sent)
        return any(key.can_take(now, group) for key in self.keys)

    def models(self) -> list[str]:
        """What it serves: sources of the mapping, then its own names and globs."""
        own = [model if isinstance(model, str) else model.id for model in self.config.models or ()]
        return list(dict.fromkeys([*self.config.model_mapping, *own]))

    def first_event_ms(self) -> float:
        """The average of streams that was updated last; where there is none, of whole answers."""
        streams = (int(OutputClass.STREAM), int(OutputClass.THINKING))
        latest = max(streams, key=self.stats.observed_at)
        average = self.stats.average(latest) or self.stats.average(int(OutputClass.WHOLE))
        return round(average * 1000, 1)


class LiveState:
    """All providers of one configuration, on the shared memory.

    Args:
        memory: of all workers.
        config: in force, overrides included.
        layout: whose words are where.
        clock: both clocks.
    """

    def __init__(self, memory: SharedMemory, config: Config, layout: Layout, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.providers = [
            LiveProvider(memory, provider, config, layout)
            for provider in config.providers
            if provider.name in layout.targets and provider.name in layout.endpoints
        ]
        self._group_name = _GroupNames(self.providers)

    def in_flight(self) -> int:
        """Exchanges under way, over all workers; keys that share a slot count once."""
        by_slot = {key.slot: key.limits for one in self.providers for key in one.keys}
        return sum(limits.in_flight for limits in by_slot.values())

    def messages(
        self, facts: KeyFacts, breaker_since_ms: dict[str, int] | None = None
    ) -> list[v1.Provider]:
        """All providers as messages, without overrides, in configured order."""
        now = self.clock.now()
        since = breaker_since_ms or {}
        return [self._provider(one, facts, since.get(one.name, 0), now) for one in self.providers]

    def key(self, provider: str, name: str, facts: KeyFacts) -> v1.Key | None:
        """One key, by its name or fingerprint; None: there is none."""
        now = self.clock.now()
        for one in self.providers:
            if one.name == provider:
                for key in one.keys:
                    if name in (key.name, key.fingerprint):
                        return self._key(one, key, facts, now)
        return None

    def _provider(
        self, one: LiveProvider, facts: KeyFacts, since_ms: int, now: float
    ) -> v1.Provider:
        provider = one.config
        state = one.breaker.state
        return v1.Provider(
            name=one.name,
            type=provider.type,
            base_url=shown_url(provider.base_url or ""),
            enabled=provider.enabled,
            weight=provider.weight,
            priority=provider.priority,
            billing=billing_of(provider),
            breaker=v1.Breaker(
                state=_BREAKER_STATES[state],
                since_ms=since_ms,
                resumes_at_ms=(self.clock.ms(one.breaker.resumes_at) if state is State.OPEN else 0),
                failures=one.breaker.failures,
            ),
            first_event_ms=one.first_event_ms(),
            keys=[self._key(one, key, facts, now) for key in one.keys],
            models=one.models(),
        )

    def _key(self, one: LiveProvider, key: LiveKey, facts: KeyFacts, now: float) -> v1.Key:
        windows = key.windows(now)
        room = key.room(now, windows)
        told = facts.windows(one.name, key.fingerprint)
        plans = [window for window in told if not _counted(windows, window)]
        until, reason = self._cooldown(key, now)
        groups = key.limits.group_cooldowns(now)
        message = v1.Key(
            name=key.name,
            fingerprint=key.fingerprint,
            state=_state_of(key, one.config.enabled, now),
            enabled=key.enabled,
            in_flight=key.limits.in_flight,
            cooldown_until_ms=until,
            cooldown_reason=reason,
            group_cooldowns=[
                v1.GroupCooldown(group=self._group_name(group), until_ms=self.clock.ms(end))
                for group, end in sorted(groups.items())
            ],
            windows=[*plans, *windows],
            weight=key.config.weight if key.config else 1,
            priority=key.config.priority if key.config else 0,
            today=facts.totals(one.name, key.fingerprint),
            first_event_ms=facts.first_event_ms(one.name, key.fingerprint),
        )
        if room is not None:
            message.room = room
        return message

    def _cooldown(self, key: LiveKey, now: float) -> tuple[int, str]:
        """End and reason; of a refused key the end is that of its next trial."""
        until = key.limits.cooldown_until()
        if math.isinf(until):
            count = key.refusals.count()
            times = f", {count} times in a row" if count > 1 else ""
            trial = "; a trial is under way" if key.refusals.in_trial else ""
            due_at = self.clock.ms(key.refusals.due_at)
            return due_at, f"the provider refuses it (401 or 403){times}{trial}"
        if until <= now:
            return 0, ""
        return self.clock.ms(until), _REASONS.get(key.limits.cooldown_reason, "rate limit")


class BreakerTimes:
    """Remembers when breakers were seen to change, by provider."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[State, int]] = {}

    def look(self, providers: Iterable[LiveProvider], now_ms: int) -> dict[str, int]:
        """Since when each breaker is in its state, milliseconds since 1970; 0: not known."""
        seen = {}
        for provider in providers:
            state = provider.breaker.state
            before = self._seen.get(provider.name)
            since = 0 if before is None else before[1]
            if before is not None and before[0] is not state:
                since = now_ms
            seen[provider.name] = (state, since)
        self._seen = seen
        return {name: since for name, (_, since) in seen.items()}


def _state_of(key: LiveKey, provider_enabled: bool, now: float) -> v1.Key.State:
    if not key.enabled or not provider_enabled:
        return v1.Key.STATE_DISABLED
    until = key.limits.cooldown_until()
    if math.isinf(until):
        return v1.Key.STATE_REFUSED
    if until > now:
        return v1.Key.STATE_COOLDOWN
    if key.limits.state(now, 0, 0) in _WITHOUT_ROOM:
        return v1.Key.STATE_FULL
    return v1.Key.STATE_IN_USE if key.limits.in_flight else v1.Key.STATE_IDLE


def billing_of(provider: Provider) -> v1.Billing:
    """How its tokens are paid: as configured, else by what it is."""
    if provider.billing == "plan":
        return v1.BILLING_PLAN
    if provider.billing == "tokens":
        return v1.BILLING_TOKENS
    if provider.type in UNBILLED:
        return v1.BILLING_FREE
    return v1.BILLING_PLAN if passes_credential(provider) else v1.BILLING_TOKENS


def passes_credential(provider: Provider) -> bool:
    """Whether the client's own credential goes there, as `providers.base.Dialect` has it."""
    return provider.type == "anthropic" and not provider.keys and provider.auth != "none"


def _counted(windows: Iterable[v1.Window], told: v1.Window) -> bool:
    """Whether the relay counts what a provider told of, which is newer; a limit that is the
    provider's gets its times."""
    for window in windows:
        if window.name == told.name:
            if window.limit == told.limit:
                window.observed_at_ms = told.observed_at_ms
                window.resets_at_ms = told.resets_at_ms
            return True
    return False


class _GroupNames:
    """Names of groups of models: the family, else the models of the configuration in it."""

    def __init__(self, providers: Iterable[LiveProvider]) -> None:
        self._models: dict[int, list[str]] = {}
        for provider in providers:
            for model in provider.models():
                sent = provider.matcher.resolve(model) or model
                self._add(provider, sent)
            if is_per_model(provider.config.type):
                for name in known_names():
                    self._add(provider, name)

    def _add(self, provider: LiveProvider, sent: str) -> None:
        names = self._models.setdefault(group_at(provider.config.type, sent), [])
        name = first_party(sent) if is_per_model(provider.config.type) else sent
        if name not in names and "*" not in name:
            names.append(name)

    def __call__(self, group: int) -> str:
        if group <= len(FAMILIES):
            return FAMILIES[group - 1]
        return ", ".join(self._models.get(group, ())) or f"models of group {group}"
