"""Active health checks of endpoints whose circuit breaker is open and that have no traffic, and of
keys that the provider refused.

Without a probe, the first client request after the open time is the trial. One worker probes an
endpoint at a time (a lease in shared memory).

A refused key is probed when its trial is due and other targets serve the clients; where none does,
a request is the trial (`routing.trials`). The probe is the cheapest that shows the key to the
provider: `count_tokens`, else `message`. Where there is none, the key is given to requests again.

    connect       TCP and TLS; the default
    count_tokens  POST /v1/messages/count_tokens with a few bytes; free of charge
    message       POST /v1/messages with max_tokens 1; costs about ten tokens
"""

import asyncio
from math import inf

from ccrelay.config.model import Health, Probe
from ccrelay.errors import RelayError, UpstreamFailed
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.providers.probe import (
    ProbeRequest,
    probe_body,
    probe_fields,
    probe_model,
    probe_path,
)
from ccrelay.relay import cloud_request, refusals
from ccrelay.relay.context import WorkerContext
from ccrelay.upstream.dial import Dialer
from ccrelay.upstream.fetch import FetchFailed, post_status
from ccrelay.upstream.tasks import TaskSet

LOOK_EVERY_S = 0.25
# Added to the probe's time limit: the lease of a worker that died expires.
LEASE_SLACK_S = 1.0
# When a probe of a key has proved nothing.
KEY_AGAIN_S = 30.0
# By these statuses the provider has taken the key and judged the rest.
_ACCEPTED = frozenset({400, 402, 413, 422, 429})
_REFUSED = frozenset({401, 403})


class HealthChecks:
    """The health checks of one worker.

    Args:
        context: clock, log and current configuration.
        loop: runs the timer.
        tasks: runs the probes.
    """

    def __init__(
        self, context: WorkerContext, loop: asyncio.AbstractEventLoop, tasks: TaskSet
    ) -> None:
        self._context = context
        self._loop = loop
        self._tasks = tasks
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[str] = set()

    def start(self) -> None:
        """Start checking every LOOK_EVERY_S."""
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)

    def stop(self) -> None:
        """Stop checking. Probes in flight continue."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        context = self._context
        health = context.config.config.health
        now = context.reactor.clock()
        for provider in context.config.providers:
            for target in provider.targets:
                if target.refusals.count():
                    self._maybe_key(target, now)
        if health.probe != "off":
            for provider in context.config.providers:
                breaker = provider.endpoint.breaker
                if breaker.due(now):
                    self._maybe(provider, _kind(provider, health), now)
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)

    def _maybe(self, provider: ProviderState, kind: Probe, now: float) -> None:
        stats = provider.endpoint.stats
        if provider.name in self._running or provider.key_pool.in_flight:
            return  # the outcome of the request in flight is enough
        if kind == "connect" and stats.answers:
            return  # the endpoint was reachable and failed: a connect proves nothing
        health = self._context.config.config.health
        if not stats.lease(now, health.probe_timeout_s + LEASE_SLACK_S):
            return
        self._running.add(provider.name)
        dialer = self._context.config.pools[provider.name].dialer
        self._tasks.spawn(self._probe(provider, kind, dialer), f"probe of {provider.name}")

    # ---- refused keys

    def _maybe_key(self, target: Target, now: float) -> None:
        """Try a refused key, if that is due and no request will."""
        limits, health = target.limits, self._context.config.config.health
        if (
            limits.cooldown_until() < inf
            or target.refusals.due_at > now
            or not target.provider.endpoint.breaker.available(now)
            or not self._others_serve(target)
        ):
            return
        kinds = _key_kinds(target.provider, health)
        if not kinds:
            limits.clear_cooldown()
        elif target.refusals.claim(now, now + max(KEY_AGAIN_S, health.probe_timeout_s)):
            name = target.provider.name
            dialer = self._context.config.pools[name].dialer
            self._tasks.spawn(self._probe_key(target, kinds, dialer), f"probe of a key of {name}")

    def _others_serve(self, target: Target) -> bool:
        for provider in self._context.config.providers:
            for other in provider.targets:
                if other is not target and other.limits.cooldown_until() < inf:
                    return True
        return False

    async def _probe_key(self, target: Target, kinds: list[ProbeRequest], dialer: Dialer) -> None:
        context = self._context
        health = context.config.config.health
        began_at = context.reactor.clock()
        status, reason, kind = 0, None, kinds[0]
        try:
            async with asyncio.timeout(health.probe_timeout_s):
                for kind in kinds:
                    status = await self._post(target.provider, kind, dialer, target)
                    if status < 300 or status in _ACCEPTED or status in _REFUSED:
                        break  # else the path may be unknown: it proves nothing of the key
        except TimeoutError:
            status, reason = 0, f"no answer within {health.probe_timeout_s:g} s"
        except RelayError as error:
            status, reason = 0, error.message
        is_good = 200 <= status < 300 or status in _ACCEPTED
        context.reactor.clock()
        context.log.event(
            "info" if is_good else "warning",
            "probe",
            provider=target.provider.name,
            key=target.fingerprint,
            kind=kind,
            good=is_good,
            reason=reason if is_good or reason else f"status {status}",
            ms=round((context.reactor.now - began_at) * 1000, 1),
        )
        if is_good:
            refusals.accepted(context, target)
        elif status in _REFUSED:
            refusals.refused(context, target)
        # Else nothing is known of the key: the next trial follows when the claim has expired.

    # ---- endpoints

    async def _probe(self, provider: ProviderState, kind: Probe, dialer: Dialer) -> None:
        context = self._context
        health = context.config.config.health
        began_at = context.reactor.clock()
        reason, is_own = None, False
        try:
            async with asyncio.timeout(health.probe_timeout_s):
                reason = await self._try(provider, kind, dialer)
        except TimeoutError:
            reason = f"no answer within {health.probe_timeout_s:g} s"
        except UpstreamFailed as error:
            reason, is_own = error.message, error.is_own
        except RelayError as error:
            reason = error.message
        finally:
            self._running.discard(provider.name)
            provider.endpoint.stats.unlease()
        now = context.reactor.clock()
        if is_own:
            # The endpoint was not asked: the next look tries again.
            context.notices.event("error", "resources_exhausted", what="connect", reason=reason)
            return
        provider.endpoint.breaker.probed(now, context.rng, reason is None)
        context.log.event(
            "info" if reason is None else "warning",
            "probe",
            provider=provider.name,
            kind=kind,
            good=reason is None,
            reason=reason,
            ms=round((now - began_at) * 1000, 1),
        )

    async def _try(self, provider: ProviderState, kind: Probe, dialer: Dialer) -> str | None:
        """Why the endpoint is unhealthy; None: it is healthy."""
        if kind != "count_tokens" and kind != "message":
            dialed = await dialer.dial()
            dialed.sock.close()
            return None
        try:
            status = await self._post(provider, kind, dialer, None)
        except FetchFailed as error:
            if error.is_own:
                raise
            return error.message
        return f"status {status}" if status >= 500 or status == 408 else None

    async def _post(
        self, provider: ProviderState, kind: ProbeRequest, dialer: Dialer, target: Target | None
    ) -> int:
        """Status of the response to a probe with a target's key, None: with the first one.

        Raises:
            FetchFailed: no response, or no model to name.
            RelayError: a cloud cannot be asked, for want of a credential for example.
        """
        model = probe_model(provider.dialect, self._context.config.config.health.probe_model)
        if model is None:
            raise FetchFailed("no known model to probe with: set health.probe_model")
        if provider.bridges:
            asked = target or provider.targets[0]
            now_there = self._context.wall() + provider.clock_skew_s
            sent = cloud_request.probe_of(asked, kind, model, now_there)
            return await post_status(dialer, self._loop, *sent)
        body = probe_body(kind, model)
        enabled = [key.key for key in provider.config.keys if key.enabled]
        key = enabled[target.index if target is not None else 0] if enabled else None
        fields = probe_fields(provider.dialect, key, body)
        return await post_status(
            dialer, self._loop, probe_path(provider.dialect, kind), fields, body
        )


def _kind(provider: ProviderState, health: Health) -> Probe:
    """Kind of probe: `connect` for a provider without keys or without token counting."""
    if health.probe == "off" or provider.passes_client_credential:
        return "connect"
    if health.probe == "count_tokens" and provider.dialect.counts_tokens == "estimate":
        return "connect"
    return health.probe


def _key_kinds(provider: ProviderState, health: Health) -> list[ProbeRequest]:
    """The probes that show a key to the provider, the cheapest first."""
    if health.probe == "off" or probe_model(provider.dialect, health.probe_model) is None:
        return []
    if provider.dialect.counts_tokens == "estimate":
        return ["message"]
    return ["count_tokens", "message"]
