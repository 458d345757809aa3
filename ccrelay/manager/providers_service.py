"""The service Providers: state of providers and keys, probes, and changes at run time."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence

from ccrelay.config.edit import CannotEdit, Edit, edited
from ccrelay.config.model import Config
from ccrelay.config.overrides import Override, Setting, apply_overrides
from ccrelay.config.problems import quoted
from ccrelay.manager.config_text import NO_FILE, ConfigText
from ccrelay.manager.errors import (
    Link,
    invalid,
    known,
    not_found,
    order,
    precondition,
    streaming,
    to_the_end,
    unary,
)
from ccrelay.manager.keys import find_key, find_provider
from ccrelay.manager.live import LiveKey
from ccrelay.manager.overrides import chosen, key_index, message, override_id, with_override
from ccrelay.manager.probe import Prober
from ccrelay.manager.relay_service import Statuses, too_many
from ccrelay.manager.revisions import digest_of
from ccrelay.manager.state import RelayState
from ccrelay.manager.watch import ALIVE_S, Broadcast, TooManyWatchers
from ccrelay.runtime.manager_link import OverridesCommand
from ccrelay.types import LogSink
from ccrelay.upstream.tasks import TaskSet
from ccrelay.v1 import providers_pb2 as v1, providers_pb2_grpc, relay_pb2

WEIGHT_MAX = 1000
# The supervisor tells of the new configuration beside its reply.
TOLD_LIMIT_S = 2.0


class ProvidersService(providers_pb2_grpc.ProvidersServicer):
    """Implements ccrelay.v1.Providers.

    Args:
        state: of the relay.
        statuses: brings the ledger's sums up to date.
        broadcast: of the status, for watchers.
        link: to the supervisor.
        text: of the configuration file.
        prober: asks providers.
        tasks: run changes to their end.
        log: of the process.
    """

    def __init__(
        self,
        state: RelayState,
        statuses: Statuses,
        broadcast: Broadcast[relay_pb2.Status],
        link: Link,
        text: ConfigText,
        prober: Prober,
        tasks: TaskSet,
        log: LogSink,
    ) -> None:
        self._state = state
        self._statuses = statuses
        self._broadcast = broadcast
        self._link = link
        self._text = text
        self._prober = prober
        self._tasks = tasks
        self._log = log
        self._lock = asyncio.Lock()  # a list of overrides follows from the one before

    # ---- state

    @unary
    async def List(self, request: v1.ProvidersListRequest) -> v1.ProvidersListResponse:  # noqa: N802
        """See the schema."""
        await self._statuses.refresh()
        return v1.ProvidersListResponse(providers=self._state.providers())

    @streaming
    async def Watch(  # noqa: N802
        self, request: v1.ProvidersWatchRequest
    ) -> AsyncGenerator[v1.ProvidersWatchResponse, None]:
        """See the schema."""
        await self._statuses.refresh()
        before: dict[str, v1.Provider] | None = None
        clock = asyncio.get_running_loop().time
        sent_at = 0.0
        try:
            async with contextlib.aclosing(self._broadcast.watch(0.0)) as statuses:
                async for status in statuses:
                    now = {provider.name: provider for provider in status.providers}
                    known_before = before or {}
                    changed = [one for one in now.values() if known_before.get(one.name) != one]
                    removed = [name for name in known_before if name not in now]
                    # An empty one is the sign of life: else something else has changed.
                    if changed or removed or before is None or clock() >= sent_at + ALIVE_S:
                        sent_at = clock()
                        yield v1.ProvidersWatchResponse(providers=changed, removed=removed)
                    before = now
        except TooManyWatchers:
            raise too_many() from None

    @unary
    async def Probe(self, request: v1.ProbeRequest) -> v1.ProbeResponse:  # noqa: N802
        """See the schema."""
        if request.kind not in v1.ProbeKind.values():
            raise invalid("There is no such kind of probe: use connect, count_tokens or message.")
        if len(request.model) > 256 or not request.model.isprintable():
            raise invalid("The model is no name: at most 256 printable characters.")
        provider = find_provider(self._state.live, request.provider)
        key = find_key(provider, request.key) if request.key else provider.keys[0]
        return await self._prober.probe(
            provider.config,
            key.config,
            fingerprint=key.fingerprint,
            kind=request.kind,
            model=request.model,
            health=self._state.config.health,
            routing=self._state.config.routing,
        )

    # ---- overrides

    @unary
    async def SetEnabled(self, request: v1.SetEnabledRequest) -> v1.SetEnabledResponse:  # noqa: N802
        """See the schema."""
        provider = find_provider(self._state.live, request.provider)
        await self._set(provider.name, None, "enabled", int(request.enabled))
        return v1.SetEnabledResponse(provider=self._state.provider(provider.name))

    @unary
    async def SetKeyEnabled(  # noqa: N802
        self, request: v1.SetKeyEnabledRequest
    ) -> v1.SetKeyEnabledResponse:
        """See the schema."""
        provider = find_provider(self._state.live, request.provider)
        key = find_key(provider, request.key)
        await self._set(provider.name, key, "enabled", int(request.enabled))
        return v1.SetKeyEnabledResponse(provider=self._state.provider(provider.name))

    @unary
    async def SetWeight(self, request: v1.SetWeightRequest) -> v1.SetWeightResponse:  # noqa: N802
        """See the schema."""
        if request.weight > WEIGHT_MAX:
            raise invalid(f"A weight is at most {WEIGHT_MAX}.")
        provider = find_provider(self._state.live, request.provider)
        key = find_key(provider, request.key)
        await self._set(provider.name, key, "weight", request.weight)
        return v1.SetWeightResponse(provider=self._state.provider(provider.name))

    @unary
    async def ClearCooldown(  # noqa: N802
        self, request: v1.ClearCooldownRequest
    ) -> v1.ClearCooldownResponse:
        """See the schema."""
        provider = find_provider(self._state.live, request.provider)
        keys = [find_key(provider, request.key)] if request.key else provider.keys
        now = self._state.clock.now()
        cleared = 0
        for limits, refusals in {key.slot: (key.limits, key.refusals) for key in keys}.values():
            cleared += limits.end_cooldowns(now)
            refusals.clear()
        if cleared:
            key = keys[0].fingerprint if request.key else None
            self._log.event(
                "info", "cooldowns_ended", provider=provider.name, key=key, count=cleared
            )
        return v1.ClearCooldownResponse(
            cleared=cleared, provider=self._state.provider(provider.name)
        )

    @unary
    async def ListOverrides(  # noqa: N802
        self, request: v1.ListOverridesRequest
    ) -> v1.ListOverridesResponse:
        """See the schema."""
        state = self._state
        found = [message(state.config, one, state.file_values) for one in state.overrides]
        return v1.ListOverridesResponse(overrides=found)

    @unary
    async def WriteOverrides(  # noqa: N802
        self, request: v1.WriteOverridesRequest
    ) -> v1.WriteOverridesResponse:
        """See the schema."""
        if self._text.path is None:
            raise precondition(NO_FILE)
        await to_the_end(self._tasks, self._write(request.ids), "write overrides")
        return v1.WriteOverridesResponse(file=self._text.whole_path, revision=self._state.revision)

    @unary
    async def DropOverrides(  # noqa: N802
        self, request: v1.DropOverridesRequest
    ) -> v1.DropOverridesResponse:
        """See the schema."""
        dropped = await to_the_end(self._tasks, self._drop(request.ids), "drop overrides")
        return v1.DropOverridesResponse(dropped=dropped)

    # ---- changes

    async def _set(self, provider: str, key: LiveKey | None, setting: Setting, value: int) -> None:
        if key is not None and key.config is None:
            raise precondition(
                f"{provider} has no key of its own: enable or disable the provider instead."
            )
        await to_the_end(self._tasks, self._override(provider, key, setting, value), "override")

    async def _override(
        self, provider: str, key: LiveKey | None, setting: Setting, value: int
    ) -> None:
        state = self._state
        async with self._lock:
            new = Override(
                provider=provider,
                key=key.fingerprint if key is not None else "",
                setting=setting,
                value=value,
                set_at_ms=state.clock.now_ms(),
            )
            index = key_index(state.config, new) if key is not None else None
            told = state.file_values.value(provider, index, setting)
            _check_rest(state.config, new)
            await self._use(with_override(state.overrides, new, told))

    async def _use(self, overrides: Sequence[Override]) -> None:
        """Have these overrides in force."""
        wanted = list(overrides)
        state = self._state
        if wanted == list(state.overrides):
            return
        await order(self._link, OverridesCommand(id=0, overrides=wanted))
        if not await state.until(lambda: list(state.overrides) == wanted, TOLD_LIMIT_S):
            state.overrides = wanted  # nothing else has changed by them

    async def _drop(self, ids: Iterable[str]) -> int:
        async with self._lock:
            found = self._chosen(ids)
            await self._use([one for one in self._state.overrides if one not in found])
            return len(found)

    async def _write(self, ids: Iterable[str]) -> None:
        async with self._lock:
            found = self._chosen(ids)
            if not found:
                raise precondition("There is nothing to write: nothing was set at run time.")
            before = await self._text.read()
            if not await self._text.is_in_force(before):
                raise precondition(
                    "The file has changed and is not in force: run `ccrelay reload` first."
                )
            try:
                text = before.decode()
                edits = self._edits(found)
                after = await asyncio.to_thread(edited, text, edits, is_toml=self._text.is_toml)
            except UnicodeDecodeError:
                raise precondition("The file is not UTF-8 text.") from None
            except CannotEdit as error:
                raise precondition(str(error)) from None
            if after != text:
                await self._text.apply(
                    after.encode(),
                    origin="override",
                    base=digest_of(before),
                    comment=", ".join(override_id(self._state.config, one) for one in found),
                )
            # What the file says now is no override any more.
            await self._use([one for one in self._state.overrides if one not in found])

    def _chosen(self, ids: Iterable[str]) -> list[Override]:
        state = self._state
        found, unknown = chosen(state.config, state.overrides, ids)
        if unknown:
            names = [override_id(state.config, one) for one in state.overrides]
            raise not_found(f"There is no override {quoted(unknown[0])}; {known(names)}.")
        return found

    def _edits(self, overrides: Iterable[Override]) -> list[Edit]:
        state = self._state
        edits = []
        for one in overrides:
            provider = state.file_values.index(one.provider)
            key = key_index(state.config, one) if one.key else None
            if provider is None or (one.key and key is None):
                name = override_id(state.config, one)
                raise precondition(
                    f"{name} is about something that the file does not have: drop it."
                )
            edits.append(Edit(provider, key, one.setting, one.value))
        return edits


def _check_rest(config: Config, new: Override) -> None:
    """Something must be left to send requests to. Raises Refused."""
    after = apply_overrides(config, [new])
    for provider in after.providers:
        if provider.enabled and (not provider.keys or any(key.enabled for key in provider.keys)):
            return
    what = "key" if new.key else "provider"
    raise precondition(
        f"This is the last {what} that is enabled: enable another one first, or stop the relay."
    )
