"""The text in force without a server around it: what is noted, and what is put back."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from ccrelay.manager.config_text import ConfigText
from ccrelay.manager.errors import Refused
from ccrelay.manager.revisions import digest_of
from ccrelay.runtime.manager_link import Command, Origin, Reply
from ccrelay.upstream.tasks import TaskSet
from tests.unit.manager.test_state import made
from tests.unit.manager.worlds import TEXT

OTHER = TEXT + "# other\n"


class Link:
    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.on_call = lambda: None

    async def call(self, command: Command) -> Reply:
        self.on_call()
        return self.replies.pop(0) if self.replies else Reply(1)


class Bench:
    def __init__(self, tmp_path: Path, *, has_file: bool = False) -> None:
        self.file = tmp_path / "c.yaml"
        if not has_file:
            self.file.write_text(TEXT)
        self.state, _ = made(config_file=str(self.file))
        self.link = Link()
        self.env = {"HOME": str(tmp_path / "h")}
        self.errors: list[BaseException] = []
        tasks = TaskSet(asyncio.get_running_loop(), lambda _, error: self.errors.append(error))
        self.text = ConfigText(self.state, self.link, tasks, self.env)

    async def note(self, origin: Origin, text: str = TEXT) -> None:
        await self.text.note(origin, digest_of(text.encode()))


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


def test_numbers_follow_the_texts(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await bench.note("start")
        assert (bench.state.revision, bench.text.in_force) == (1, TEXT.encode())
        bench.file.write_text(OTHER)
        await bench.note("override")  # the text is the same
        assert bench.state.revision == 1
        await bench.note("signal", OTHER)
        assert bench.state.revision == 2
        assert [entry.origin for entry in bench.text.entries()] == ["start", "file"]
        bench.file.unlink()
        await bench.note("file", OTHER)  # it is gone: what is in force stays
        assert bench.state.revision == 2
        assert bench.text.text_of(1) == TEXT.encode()
        assert bench.text.text_of(2) == OTHER.encode()

    run(main())


def test_somebody_elses_text_is_not_overwritten_by_the_old_one(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await bench.note("start")
        bench.link.replies = [Reply(1, error="no", is_refused=True)]
        bench.link.on_call = lambda: bench.file.write_text("edited meanwhile")
        with pytest.raises(Refused):
            await bench.text.apply(OTHER.encode(), origin="apply")
        assert bench.file.read_text() == "edited meanwhile"
        assert bench.errors == []

    run(main())


def test_a_text_that_stands_there_already_is_reloaded(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await bench.note("start")
        bench.file.write_text(OTHER)
        await bench.text.apply(OTHER.encode(), origin="apply", comment="again")
        assert bench.state.revision == 2
        assert bench.text.entries()[-1].comment == "again"

    run(main())


def test_revisions_that_cannot_be_kept_stop_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "h").write_text("a file")
        bench = Bench(tmp_path)
        await bench.note("start")
        assert bench.state.revision == 1
        assert "cannot be written" in bench.state.text_problem
        await bench.text.apply(OTHER.encode(), origin="apply")
        assert bench.file.read_text() == OTHER

    run(main())


def test_file_values_are_those_of_the_text_in_force(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await bench.note("start")
        assert bench.state.file_values.value("local", None, "enabled") == 0

    run(main())


@pytest.mark.parametrize("origin", ["start", "file", "override"])
def test_a_manager_that_is_started_again_knows_the_text_in_force(
    tmp_path: Path, origin: Origin
) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await bench.note("start")
        bench.file.write_text("routing: {strategy: nonsense}\n")  # in force is the text before
        again = Bench(tmp_path, has_file=True)
        await again.note(origin)
        assert (again.state.revision, again.text.in_force) == (1, TEXT.encode())
        assert again.state.file_values.value("local", None, "enabled") == 0
        assert len(again.text.entries()) == 1
        assert not await again.text.is_in_force(again.file.read_bytes())

    run(main())


def test_a_text_in_force_that_stands_nowhere_any_more_is_no_revision(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        bench.file.write_text(OTHER)  # saved again before it was noted
        await bench.note("start")
        assert (bench.text.in_force, bench.text.entries()) == (None, [])
        assert bench.state.revision == 1
        assert not await bench.text.is_in_force(OTHER.encode())
        assert await bench.text.is_in_force(TEXT.encode())

    run(main())
