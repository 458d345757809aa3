"""The service Relay over a real grpc.aio server and client."""

import asyncio
import time
from pathlib import Path

import grpc
import pytest

from ccrelay import __version__
from ccrelay._fast.rate_limits import Cooldown
from ccrelay.manager import watch
from ccrelay.runtime.manager_link import (
    LogLevelCommand,
    ReloadProblem,
    StopCommand,
    WorkerInfo,
    WorkersChanged,
)
from ccrelay.v1 import relay_pb2 as v1
from tests.loopback.manager.rig import CONFIG, refused, rig, run

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_status_tells_the_whole(tmp_path: Path) -> None:
    async def main() -> v1.Status:
        async with rig(tmp_path) as made:
            worker = made.worker("one")
            reservation = worker.targets[0].limits.reserve(time.monotonic(), 10, 10)
            made.supervisor.queued = 4
            answer = await made.relay.GetStatus(v1.GetStatusRequest())
            assert reservation is not None
            return answer.status

    status = run(main())
    assert status.version == __version__
    assert (status.pid, status.started_at_ms, list(status.listen)) == (
        1234,
        1000,
        ["127.0.0.1:8787"],
    )
    assert status.state == v1.Status.STATE_SERVING
    assert status.answering
    assert (status.in_flight, status.queued) == (1, 5)
    assert [provider.name for provider in status.providers] == ["one", "two"]
    assert [key.name for key in status.providers[0].keys] == ["a", "b"]
    assert status.revision == 1
    assert status.strategy == "failover"
    assert abs(status.at_ms - time.time() * 1000) < 60_000
    assert status.management.ledger.state == v1.Ledger.STATE_OFF
    assert list(status.notices) == []


def test_a_model_that_no_key_can_serve_is_told(tmp_path: Path) -> None:
    async def main() -> v1.Status:
        async with rig(tmp_path) as made:
            limits = made.worker("two").targets[0].limits
            limits.start_cooldown(time.monotonic() + 60, Cooldown.RATE)
            return (await made.relay.GetStatus(v1.GetStatusRequest())).status

    status = run(main())
    assert not status.answering
    first = status.notices[0]
    assert first.severity == v1.Notice.SEVERITY_ERROR
    assert "glm-5" in first.message
    assert any(notice.subject == "two/c" for notice in status.notices)


def test_watchers_get_the_whole_first_and_then_changes(tmp_path: Path) -> None:
    async def main() -> list[v1.WatchStatusResponse]:
        async with rig(tmp_path) as made:
            call = made.relay.WatchStatus(v1.WatchStatusRequest())
            answers = [await call.read()]
            limits = made.worker("two").targets[0].limits
            limits.start_cooldown(time.monotonic() + 60, Cooldown.QUOTA)
            answers.append(await call.read())
            call.cancel()
            return answers

    whole, change = run(main())
    assert whole.whole
    assert [provider.name for provider in whole.status.providers] == ["one", "two"]
    assert not change.whole
    assert [provider.name for provider in change.status.providers] == ["two"]
    assert change.status.providers[0].keys[0].cooldown_reason == "balance or quota spent"
    assert change.status.version == whole.status.version


def test_nothing_is_sent_while_nothing_changes_but_a_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watch.ALIVE_S == 15.0

    async def main() -> tuple[int, float]:
        async with rig(tmp_path) as made:
            made.app._broadcast._alive_s = 1.0
            call = made.relay.WatchStatus(v1.WatchStatusRequest())
            await call.read()
            began = time.monotonic()
            answer = await call.read()
            call.cancel()
            return len(answer.status.providers), time.monotonic() - began

    providers, seconds = run(main())
    assert providers == 0
    assert 0.9 < seconds < 5


def test_many_watchers_share_one_computation(tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        async with rig(tmp_path) as made:
            broadcast = made.app._broadcast
            calls = [made.relay.WatchStatus(v1.WatchStatusRequest()) for _ in range(10)]
            for call in calls:
                await call.read()
            before = broadcast.computed
            await asyncio.sleep(1.0)
            computed = broadcast.computed - before
            for call in calls:
                call.cancel()
            for _ in range(100):
                if not broadcast.watchers:
                    break
                await asyncio.sleep(0.02)
            return computed, broadcast.watchers

    computed, watchers = run(main())
    assert computed <= 12
    assert watchers == 0


def test_reload_is_awaited_and_its_mistakes_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            answer = await made.relay.Reload(v1.ReloadRequest())
            assert not answer.changed
            (tmp_path / "ccrelay.yaml").write_text(CONFIG.replace("failover", "least-busy"))
            answer = await made.relay.Reload(v1.ReloadRequest())
            assert answer.changed
            assert answer.warnings[-1] == "a warning of the reload"
            assert answer.revision == 2
            (tmp_path / "ccrelay.yaml").write_text(CONFIG.replace("failover", "no-such"))
            code, message = await refused(made.relay.Reload(v1.ReloadRequest()))
            assert code is grpc.StatusCode.FAILED_PRECONDITION
            assert "strategy" in message
            status = (await made.relay.GetStatus(v1.GetStatusRequest())).status
            assert "strategy" in status.reload_problem
            assert status.notices[0].subject == "config"
            assert status.notices[0].command == "ccrelay config check"
            assert status.revision == 2
            assert status.strategy == "least-busy"

    run(main())


@pytest.mark.parametrize("level", ["", "loud", "INFO", "info\n", "x" * 10_000, "\u202e"])
def test_a_level_that_is_none_is_refused(tmp_path: Path, level: str) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            request = v1.SetLogLevelRequest(level=level)
            code, message = await refused(made.relay.SetLogLevel(request))
            assert code is INVALID
            assert "debug, info, warning, error" in message
            assert len(message) < 300
            assert message.isprintable()
            assert made.supervisor.commands == []

    run(main())


def test_level_drain_and_stop_go_to_the_supervisor(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            answer = await made.relay.SetLogLevel(v1.SetLogLevelRequest(level="debug"))
            assert answer.previous == "info"
            assert made.supervisor.commands == [LogLevelCommand(0, "debug")]
            drained = await made.relay.Drain(v1.DrainRequest())
            assert (drained.in_flight, drained.limit_s) == (0, 3600.0)
            status = (await made.relay.GetStatus(v1.GetStatusRequest())).status
            assert status.state == v1.Status.STATE_DRAINING
            await made.relay.Stop(v1.StopRequest())
            assert made.supervisor.commands[-1] == StopCommand(0)

    run(main())


def test_a_supervisor_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            made.supervisor.is_silent = True
            code, _ = await refused(made.relay.Drain(v1.DrainRequest()))
            assert code is grpc.StatusCode.UNAVAILABLE
            assert (await made.relay.GetStatus(v1.GetStatusRequest())).status.pid == 1234

    run(main())


def test_a_deadline_ends_the_wait(tmp_path: Path) -> None:
    async def main() -> float:
        async with rig(tmp_path) as made:
            made.supervisor.delay_s = 30
            began = time.monotonic()
            code, _ = await refused(made.relay.Reload(v1.ReloadRequest(), timeout=0.3))
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            return time.monotonic() - began

    assert run(main()) < 5


def test_a_status_does_not_wait_for_a_slow_supervisor(tmp_path: Path) -> None:
    async def main() -> float:
        async with rig(tmp_path) as made:
            made.supervisor.delay_s = 30
            began = time.monotonic()
            await made.relay.GetStatus(v1.GetStatusRequest())
            return time.monotonic() - began

    assert run(main()) < 5


def test_workers_and_problems_are_taken_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, reload_problem="it broke") as made:
            workers = [WorkerInfo(1, 8, 1, "starting", 5), WorkerInfo(0, 7, 0, "serving", 4)]
            made.app.on_message(WorkersChanged(workers))
            status = (await made.relay.GetStatus(v1.GetStatusRequest())).status
            assert [(one.slot, one.pid, one.state) for one in status.workers] == [
                (0, 7, "serving"),
                (1, 8, "starting"),
            ]
            assert status.state == v1.Status.STATE_STARTING
            assert not status.answering
            assert status.reload_problem == "it broke"
            made.app.on_message(ReloadProblem("again"))
            status = (await made.relay.GetStatus(v1.GetStatusRequest())).status
            assert status.reload_problem == "again"

    run(main())


def test_version_names_what_it_is_built_on(tmp_path: Path) -> None:
    async def main() -> v1.GetVersionResponse:
        async with rig(tmp_path) as made:
            return await made.relay.GetVersion(v1.GetVersionRequest())  # type: ignore[no-any-return]

    answer = run(main())
    assert answer.version == __version__
    assert {"grpcio", "OpenSSL", "SQLite", "msgspec"} <= set(answer.libraries)


def test_a_huge_interval_still_gets_the_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            call = made.relay.WatchStatus(v1.WatchStatusRequest(interval_ms=2**32 - 1))
            assert (await call.read()).whole
            call.cancel()

    run(main())


def test_a_link_to_the_page(tmp_path: Path) -> None:
    async def main() -> v1.CreateSignInLinkResponse:
        async with rig(tmp_path, http_listen="127.0.0.1:8789") as made:
            request = v1.CreateSignInLinkRequest(read_only=True)
            return await made.relay.CreateSignInLink(request)

    answer = run(main())
    assert answer.url.startswith("http://127.0.0.1:8789/#k=")
    assert 200 < answer.expires_at_ms / 1000 - time.time() <= 300


def test_without_a_page_there_is_no_link(tmp_path: Path) -> None:
    async def main() -> tuple[grpc.StatusCode, str]:
        async with rig(tmp_path) as made:
            return await refused(made.relay.CreateSignInLink(v1.CreateSignInLinkRequest()))

    code, message = run(main())
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "No page is served" in message
