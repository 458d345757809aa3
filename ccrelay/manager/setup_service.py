"""The service Setup: makes a configuration where there is none."""

import asyncio
import os
from collections.abc import Mapping

from ccrelay.config.problems import quoted_path
from ccrelay.first_run.check import check
from ccrelay.first_run.choice import COMMAND, Choice, Found, KeyStore, SetupProblem
from ccrelay.first_run.detect import VARIABLES, detect, existing, target
from ccrelay.first_run.write import (
    HasConfig,
    Written,
    command_after,
    keychain_problem,
    plan,
    write_plan,
)
from ccrelay.manager.config_text import ConfigText
from ccrelay.manager.errors import Link, ask, invalid, precondition, to_the_end, unary
from ccrelay.manager.state import RelayState
from ccrelay.printable import printable
from ccrelay.runtime.manager_link import EnvironmentCommand, ReloadCommand
from ccrelay.upstream.tasks import TaskSet
from ccrelay.v1 import setup_pb2 as v1, setup_pb2_grpc

PROVIDERS_MAX = 32
_STORES: dict[int, KeyStore | None] = {
    v1.KEY_STORE_UNSPECIFIED: None,
    v1.KEY_STORE_KEYCHAIN: KeyStore.KEYCHAIN,
    v1.KEY_STORE_FILE: KeyStore.FILE,
    v1.KEY_STORE_ENVIRONMENT: KeyStore.ENVIRONMENT,
}


class SetupService(setup_pb2_grpc.SetupServicer):
    """Implements ccrelay.v1.Setup.

    Args:
        state: whether there is a configuration.
        text: its text, once there is one.
        link: to the supervisor, whose environment has the keys.
        tasks: run what must not stop half-way.
    """

    def __init__(self, state: RelayState, text: ConfigText, link: Link, tasks: TaskSet) -> None:
        self._state = state
        self._text = text
        self._link = link
        self._tasks = tasks
        self._writes = asyncio.Lock()
        self._checks = asyncio.Semaphore(8)

    @unary
    async def Detect(self, request: v1.DetectRequest) -> v1.DetectResponse:  # noqa: N802
        """See the schema."""
        if self._state.config_file:
            return v1.DetectResponse(file=self._text.whole_path, has_config=True, command=COMMAND)
        env = await self._environment()
        try:
            file = existing(env) or target(env)
        except SetupProblem as error:
            raise precondition(str(error)) from None
        detected, problem = await asyncio.gather(
            asyncio.to_thread(detect, env), asyncio.to_thread(keychain_problem, env)
        )
        return v1.DetectResponse(
            found=[_found(one) for one in detected.found],
            file=str(file),
            has_config=existing(env) is not None,
            keychain=not problem,
            keychain_problem=problem,
            command=COMMAND,
        )

    @unary
    async def Check(self, request: v1.CheckRequest) -> v1.CheckResponse:  # noqa: N802
        """See the schema."""
        choice = _choice(request.provider)
        env: Mapping[str, str] = os.environ
        if not self._state.config_file:
            env = await self._environment(choice.variable)
        try:
            async with self._checks:
                checked = await check(choice, env, model=request.model)
        except SetupProblem as problem:
            raise invalid(str(problem)) from None
        return v1.CheckResponse(
            ok=checked.ok,
            latency_ms=checked.latency_ms,
            status=checked.status,
            message=checked.message,
            models=[printable(model) for model in checked.models],
            cost_micros=checked.cost_micros,
            unproven=checked.is_unproven,
        )

    @unary
    async def Write(self, request: v1.WriteRequest) -> v1.WriteResponse:  # noqa: N802
        """See the schema."""
        if not 0 < len(request.providers) <= PROVIDERS_MAX:
            raise invalid(f"Name 1 to {PROVIDERS_MAX} providers.")
        choices = [_choice(one) for one in request.providers]
        work = self._write(choices, is_dry=request.dry_run)
        return await to_the_end(self._tasks, work, "write the first configuration")

    # ---- parts

    async def _write(self, choices: list[Choice], *, is_dry: bool) -> v1.WriteResponse:
        async with self._writes:
            if self._state.config_file:
                shown = quoted_path(self._text.whole_path)
                raise precondition(f"There is a configuration already: {shown}.")
            env = await self._environment(*(choice.variable for choice in choices))
            try:
                planned = await asyncio.to_thread(plan, choices, env)
                if is_dry:
                    return v1.WriteResponse(
                        file=str(planned.file), text=planned.text, command=COMMAND
                    )
                written = await asyncio.to_thread(write_plan, planned, env)
            except HasConfig as problem:
                raise precondition(str(problem)) from None
            except SetupProblem as problem:
                raise invalid(str(problem)) from None
            revision, said = await self._load(written)
            return v1.WriteResponse(
                file=str(written.file),
                text=written.text,
                revision=revision,
                written=[*written.lines, said],
                command=command_after(written.file, env),
            )

    async def _load(self, written: Written) -> tuple[int, str]:
        """Let the relay use it: its number, 0 where it does not, and what came of that.

        Raises Refused: all was undone.
        """
        try:
            reply = await ask(self._link, ReloadCommand(id=0, origin="apply"))
        except BaseException:
            await asyncio.to_thread(written.undo)
            raise
        if not reply.error:
            await self._text.settled()
            return self._state.revision, "the relay uses it now"
        if self._is_demo():
            return 0, "the relay of --demo goes on as it is: start `ccrelay serve` to use it"
        await asyncio.to_thread(written.undo)
        raise precondition(f"{reply.error}. Nothing was written.")

    def _is_demo(self) -> bool:
        return [provider.name for provider in self._state.config.providers] == ["demo"]

    async def _environment(self, *names: str) -> Mapping[str, str]:
        """The variables of the relay that the first run needs, and these."""
        wanted = sorted({*VARIABLES, *(name for name in names if name)})
        reply = await ask(self._link, EnvironmentCommand(id=0, names=wanted))
        return os.environ if reply.error else reply.values


def _found(one: Found) -> v1.Found:
    return v1.Found(
        type=one.type,
        name=one.name,
        source=printable(one.source),
        usable=one.usable,
        note=printable(one.note),
        models=[printable(model) for model in one.models],
        base_url=printable(one.base_url),
    )


def _choice(sent: v1.SetupProvider) -> Choice:
    """Raises Refused: a store that is none."""
    if sent.store not in _STORES:
        raise invalid("There is no such place for a key.")
    return Choice(
        type=sent.type,
        name=sent.name,
        base_url=sent.base_url,
        key=sent.key.strip(),
        variable=sent.variable,
        store=_STORES[sent.store],
        pass_through=sent.pass_through,
        settings=dict(sent.settings),
    )
