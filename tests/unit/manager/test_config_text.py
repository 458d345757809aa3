"""The text in force without a server around it: what is noted, and what is put back."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from ccrelay.manager.config_text import ConfigText
from ccrelay.manager.errors import Refused
from ccrelay.runtime.manager_link import Command, Reply
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
    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "c.yaml"
        self.file.write_text(TEXT)
        self.state, _ = made(config_file=str(self.file))
        self.link = Link()
        self.errors: list[BaseException] = []
        tasks = TaskSet(asyncio.get_running_loop(), lambda _, error: self.errors.append(error))
        self.text = ConfigText(self.state, self.link, tasks, {"HOME": str(tmp_path / "h")})


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


def test_numbers_follow_the_texts(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await bench.text.note("start")
        assert (bench.state.revision, bench.text.in_force) == (1, TEXT.encode())
        bench.file.write_text(OTHER)
        await bench.text.note("override")  # which does not read the file
        assert bench.state.revision == 1
        await bench.text.note("signal")
        assert bench.state.revision == 2
        assert [entry.origin for entry in bench.text.entries()] == ["start", "file"]
        bench.file.unlink()
        await bench.text.note("file")  # it is gone: what is in force stays
        assert bench.state.revision == 2
        assert bench.text.text_of(1) == TEXT.encode()
        assert bench.text.text_of(2) == OTHER.encode()

    run(main())


def test_somebody_elses_text_is_not_overwritten_by_the_old_one(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await bench.text.note("start")
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
        await bench.text.note("start")
        bench.file.write_text(OTHER)
        await bench.text.apply(OTHER.encode(), origin="apply", comment="again")
        assert bench.state.revision == 2
        assert bench.text.entries()[-1].comment == "again"

    run(main())


def test_revisions_that_cannot_be_kept_stop_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "h").write_text("a file")
        bench = Bench(tmp_path)
        await bench.text.note("start")
        assert bench.state.revision == 1
        assert "cannot be written" in bench.state.text_problem
        await bench.text.apply(OTHER.encode(), origin="apply")
        assert bench.file.read_text() == OTHER

    run(main())


def test_file_values_are_those_of_the_text_in_force(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        await bench.text.note("start")
        assert bench.state.file_values.value("local", None, "enabled") == 0

    run(main())
