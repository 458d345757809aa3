"""The service Config over a real grpc.aio server and client, on real files."""

import asyncio
import hashlib
import os
import stat
import time
from pathlib import Path

import grpc
import pytest
import yaml

from ccrelay.config.fingerprint import fingerprint
from ccrelay.runtime.manager_link import ReloadCommand
from ccrelay.v1 import config_pb2 as v1, providers_pb2, relay_pb2
from tests.loopback.manager.rig import CONFIG, refused, rig, run

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
ABORTED = grpc.StatusCode.ABORTED
OTHER = CONFIG.replace("failover", "least-busy")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_get_shows_text_and_effect_without_secrets(tmp_path: Path) -> None:
    async def main() -> v1.ConfigGetResponse:
        async with rig(tmp_path) as made:
            request = providers_pb2.SetEnabledRequest(provider="two", enabled=False)
            await made.providers.SetEnabled(request)
            return await made.config.Get(v1.ConfigGetRequest())  # type: ignore[no-any-return]

    answer = run(main())
    assert answer.file == str(tmp_path / "ccrelay.yaml")
    assert (answer.format, answer.revision, answer.digest) == ("yaml", 1, digest(CONFIG))
    assert "sk-test" not in str(answer)
    assert "# the second" in answer.text
    effective = yaml.safe_load(answer.effective)
    assert effective["providers"][0]["keys"][0]["key"] == fingerprint("sk-test-a")
    assert effective["providers"][1]["enabled"] is False
    assert effective["server"]["listen"] == "127.0.0.1:8787"


def test_what_was_shown_and_edited_is_applied_with_its_secrets(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            shown = await made.config.Get(v1.ConfigGetRequest())
            text = shown.text.replace("failover", "least-busy")
            answer = await made.config.Apply(
                v1.ApplyRequest(text=text, base=shown.digest, comment="quieter\n\x1b[31m")
            )
            assert answer.revision == 2
            assert {problem.message for problem in answer.problems} >= {"a warning of the reload"}
            assert not any(problem.error for problem in answer.problems)
            told = [problem.message for problem in answer.problems if problem.message]
            assert len(told) == 4  # three secrets in plain text, once each, and that of the reload
            file = tmp_path / "ccrelay.yaml"
            assert file.read_text() == OTHER
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert made.supervisor.commands[-1] == ReloadCommand(0, origin="apply")
            status = (await made.relay.GetStatus(relay_pb2.GetStatusRequest())).status
            assert (status.strategy, status.revision) == ("least-busy", 2)
            listed = await made.config.ListRevisions(v1.ListRevisionsRequest())
            assert [(one.revision, one.origin) for one in listed.revisions] == [
                (2, "apply"),
                (1, "start"),
            ]
            newest = listed.revisions[0]
            assert (newest.lines_added, newest.lines_removed) == (1, 1)
            assert newest.comment.isprintable()
            assert newest.comment.startswith("quieter ")

    run(main())


def test_apply_on_another_base_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            (tmp_path / "ccrelay.yaml").write_text(CONFIG + "# edited\n")
            request = v1.ApplyRequest(text=OTHER, base=digest(CONFIG))
            code, message = await refused(made.config.Apply(request))
            assert code is ABORTED
            assert "get it again" in message
            assert (tmp_path / "ccrelay.yaml").read_text() == CONFIG + "# edited\n"

    run(main())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no providers"),
        (CONFIG.replace("failover", "no-such"), "routing.strategy"),
        (CONFIG.replace("models:", "modles:"), "did you mean"),
        ("providers: [", "invalid YAML"),
        ("x" * ((1 << 20) + 1), "larger than"),
        (CONFIG + "server: {listen: '0.0.0.0:1'}\n", "requires server.auth.tokens"),
        (CONFIG.replace("sk-test-c", "<masked hmac:00000000>"), "mask of a secret"),
        (CONFIG + "a: \x07\n", "control character"),
    ],
)
def test_a_text_with_mistakes_changes_nothing(tmp_path: Path, text: str, part: str) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            code, message = await refused(made.config.Apply(v1.ApplyRequest(text=text)))
            assert code is PRECONDITION
            assert part in message
            assert (tmp_path / "ccrelay.yaml").read_text() == CONFIG
            assert made.supervisor.commands == []
            validated = await made.config.Validate(v1.ValidateRequest(text=text))
            assert not validated.ok
            assert validated.problems[0].error
            assert part in f"{validated.problems[0].path}: {validated.problems[0].message}"
            assert os.listdir(tmp_path) == ["ccrelay.yaml", "home"] or set(
                os.listdir(tmp_path)
            ) == {"ccrelay.yaml", "home"}

    run(main())


def test_a_reload_that_fails_puts_the_old_text_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            made.supervisor.fails_with = "worker 0: it does not like that"
            code, message = await refused(made.config.Apply(v1.ApplyRequest(text=OTHER)))
            assert code is PRECONDITION
            assert "it does not like that" in message
            assert "as it was" in message
            assert (tmp_path / "ccrelay.yaml").read_text() == CONFIG
            status = (await made.relay.GetStatus(relay_pb2.GetStatusRequest())).status
            assert (status.strategy, status.revision) == ("failover", 1)
            assert status.reload_problem == ""

    run(main())


def test_a_supervisor_that_is_gone_leaves_the_old_text(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            made.supervisor.is_silent = True
            await refused(made.config.Apply(v1.ApplyRequest(text=OTHER)))
            assert (tmp_path / "ccrelay.yaml").read_text() == CONFIG

    run(main())


def test_an_apply_whose_caller_has_left_is_finished_or_undone(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            made.supervisor.delay_s = 3.0
            made.supervisor.fails_with = "no"
            request = v1.ApplyRequest(text=OTHER)
            code, _ = await refused(made.config.Apply(request, timeout=1.5))
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert (tmp_path / "ccrelay.yaml").read_text() == OTHER
            for _ in range(400):
                if (tmp_path / "ccrelay.yaml").read_text() == CONFIG:
                    break
                await asyncio.sleep(0.05)
            assert (tmp_path / "ccrelay.yaml").read_text() == CONFIG

    run(main())


def test_a_symlink_and_a_mode_stay(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            file, real = tmp_path / "ccrelay.yaml", tmp_path / "real.yaml"
            file.rename(real)
            real.chmod(0o640)
            file.symlink_to("real.yaml")
            await made.config.Apply(v1.ApplyRequest(text=OTHER))
            assert file.is_symlink()
            assert real.read_text() == OTHER
            assert stat.S_IMODE(real.stat().st_mode) == 0o640

    run(main())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            # The file is a folder now: root may write anywhere, so a mode would not do.
            (tmp_path / "ccrelay.yaml").unlink()
            (tmp_path / "ccrelay.yaml").mkdir()
            code, message = await refused(made.config.Apply(v1.ApplyRequest(text=OTHER)))
            assert code is PRECONDITION
            assert "cannot be read" in message

    run(main())


def test_validate_changes_nothing_and_runs_nothing(tmp_path: Path) -> None:
    text = OTHER.replace("sk-test-c", '"${cmd:touch ' + str(tmp_path / "ran") + '}"')
    text = text.replace("sk-test-a", "${NOT_SET_HERE}").replace("name: two", "name: deux")

    async def main() -> v1.ValidateResponse:
        async with rig(tmp_path) as made:
            answer = await made.config.Validate(v1.ValidateRequest(text=text))
            assert made.supervisor.commands == []
            return answer  # type: ignore[no-any-return]

    answer = run(main())
    assert answer.ok
    assert not (tmp_path / "ran").exists()
    assert (tmp_path / "ccrelay.yaml").read_text() == CONFIG
    assert any("NOT_SET_HERE" in problem.message for problem in answer.problems)
    assert any("command" in problem.message for problem in answer.problems)
    assert set(answer.changes) == {
        "providers.deux: added",
        "providers.two: removed",
        "routing.strategy: least-busy (was failover)",
        "providers.one.keys.a.key: changed",
    }
    assert "sk-test" not in str(answer)


def test_variables_that_are_missing_here_are_no_mistake(tmp_path: Path) -> None:
    text = CONFIG.replace("strategy: failover", "strategy: ${STRATEGY_OF_THE_RELAY}")

    async def main() -> v1.ValidateResponse:
        async with rig(tmp_path) as made:
            return await made.config.Validate(v1.ValidateRequest(text=text))  # type: ignore[no-any-return]

    answer = run(main())
    assert answer.ok
    (problem,) = [one for one in answer.problems if "STRATEGY_OF" in one.message]
    assert not problem.error
    assert (problem.line, problem.path) == (18, "routing.strategy")


def test_formats(tmp_path: Path) -> None:
    toml = '[[providers]]\nname = "one"\nbase_url = "http://127.0.0.1:9"\nmodels = ["m"]\n'
    toml += 'auth = "none"\n'

    async def main() -> None:
        async with rig(tmp_path) as made:
            answer = await made.config.Validate(v1.ValidateRequest(text=toml, format="toml"))
            assert answer.ok
            assert not (await made.config.Validate(v1.ValidateRequest(text=toml))).ok
            request = v1.ValidateRequest(text=toml, format="ini")
            assert (await refused(made.config.Validate(request)))[0] is INVALID
        (tmp_path / "t").mkdir()
        async with rig(tmp_path / "t", toml, name="ccrelay.toml") as made:
            shown = await made.config.Get(v1.ConfigGetRequest())
            assert shown.format == "toml"
            answer = await made.config.Apply(v1.ApplyRequest(text=toml + "weight = 3\n"))
            assert answer.revision == 2

    run(main())


def test_rollback_is_a_revision_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            await made.config.Apply(v1.ApplyRequest(text=OTHER))
            old = await made.config.Get(v1.ConfigGetRequest(revision=1))
            assert (old.revision, old.digest) == (1, digest(CONFIG))
            assert "failover" in old.text
            assert "sk-test" not in old.text
            answer = await made.config.Rollback(v1.RollbackRequest(revision=1))
            assert answer.revision == 3
            assert (tmp_path / "ccrelay.yaml").read_text() == CONFIG
            listed = await made.config.ListRevisions(v1.ListRevisionsRequest())
            assert [one.origin for one in listed.revisions] == ["rollback", "apply", "start"]
            assert listed.revisions[0].comment == "text of revision 1"
            for number, code in ((0, INVALID), (9, NOT_FOUND), (2**32 - 1, NOT_FOUND)):
                call = made.config.Rollback(v1.RollbackRequest(revision=number))
                found, message = await refused(call)
                assert found is code
                assert message.endswith(".")
            code, message = await refused(made.config.Get(v1.ConfigGetRequest(revision=77)))
            assert code is NOT_FOUND
            assert "1 to 3 are kept" in message

    run(main())


def test_revisions_by_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            for number in range(4):
                await made.config.Apply(v1.ApplyRequest(text=f"{CONFIG}# {number}\n"))
            seen = []
            token = ""
            for _ in range(10):
                request = v1.ListRevisionsRequest(page_size=2, page_token=token)
                answer = await made.config.ListRevisions(request)
                assert len(answer.revisions) <= 2
                seen += [one.revision for one in answer.revisions]
                token = answer.next_page_token
                if not token:
                    break
            assert seen == [5, 4, 3, 2, 1]
            for bad in ("x", "before-", "before-1 ", "before--1", "before-" + "9" * 40, "\x00"):
                request = v1.ListRevisionsRequest(page_token=bad)
                assert (await refused(made.config.ListRevisions(request)))[0] is INVALID
            request = v1.ListRevisionsRequest(page_size=2**32 - 1)
            assert len((await made.config.ListRevisions(request)).revisions) == 5

    run(main())


def test_a_change_of_the_file_is_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            (tmp_path / "ccrelay.yaml").write_text(OTHER)
            await made.relay.Reload(relay_pb2.ReloadRequest())
            for _ in range(100):
                listed = await made.config.ListRevisions(v1.ListRevisionsRequest())
                if len(listed.revisions) == 2:
                    break
                await asyncio.sleep(0.02)
            assert [one.origin for one in listed.revisions] == ["file", "start"]
            assert abs(listed.revisions[0].applied_at_ms - time.time() * 1000) < 60_000

    run(main())


def test_numbers_go_on_over_restarts_of_the_manager(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            await made.config.Apply(v1.ApplyRequest(text=OTHER))
        async with rig(tmp_path, OTHER, restarts=1) as made:
            assert (await made.config.Get(v1.ConfigGetRequest())).revision == 2
            assert len((await made.config.ListRevisions(v1.ListRevisionsRequest())).revisions) == 2

    run(main())


def test_without_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, has_file=False) as made:
            shown = await made.config.Get(v1.ConfigGetRequest())
            assert (shown.file, shown.revision, shown.text, shown.digest) == ("", 0, "", "")
            assert "providers:" in shown.effective
            for call in (
                made.config.Apply(v1.ApplyRequest(text=CONFIG)),
                made.config.Rollback(v1.RollbackRequest(revision=1)),
            ):
                code, message = await refused(call)
                assert code is PRECONDITION
                assert "ccrelay init" in message
            assert (await made.config.Validate(v1.ValidateRequest(text=CONFIG))).ok

    run(main())


def test_without_a_place_for_revisions(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, env={"HOME": ""}) as made:
            answer = await made.config.Apply(v1.ApplyRequest(text=OTHER))
            assert answer.revision >= 1
            assert (tmp_path / "ccrelay.yaml").read_text() == OTHER
            assert not (await made.config.ListRevisions(v1.ListRevisionsRequest())).revisions

    run(main())


@pytest.mark.parametrize(
    "request_",
    [
        v1.ApplyRequest(text=OTHER, comment="x" * 201),
        v1.ApplyRequest(text=OTHER, base="abc"),
        v1.ApplyRequest(text=OTHER, base="G" * 64),
    ],
)
def test_requests_that_are_none(tmp_path: Path, request_: v1.ApplyRequest) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            assert (await refused(made.config.Apply(request_)))[0] is INVALID
            assert (tmp_path / "ccrelay.yaml").read_text() == CONFIG

    run(main())


def test_two_applies_at_once_come_one_after_the_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            made.supervisor.delay_s = 0.05
            base = digest(CONFIG)
            calls = [
                made.config.Apply(v1.ApplyRequest(text=f"{CONFIG}# {number}\n", base=base))
                for number in range(3)
            ]
            results = await asyncio.gather(*calls, return_exceptions=True)
            codes = [r.code() for r in results if isinstance(r, grpc.aio.AioRpcError)]
            assert codes == [ABORTED, ABORTED]

    run(main())


def test_a_variable_of_the_configuration_in_force_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor has it, and the manager has none that names a secret."""
    monkeypatch.setenv("RIG_KEY", "sk-of-the-environment")
    text = CONFIG.replace("sk-test-c", "'${RIG_KEY}'")

    async def main() -> list[str]:
        async with rig(tmp_path, text) as made:
            told = []
            for changed in (text, text.replace("sk-test-b", "${ANOTHER_KEY}")):
                answer = await made.config.Validate(v1.ValidateRequest(text=changed))
                assert answer.ok
                told += [one.message for one in answer.problems if "variable" in one.message]
            return told

    (message,) = run(main())
    assert "ANOTHER_KEY" in message
