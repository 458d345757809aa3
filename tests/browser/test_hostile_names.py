"""Names as long and as odd as people and models make them: texts, and no wider than the window."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl, usage_pb2 as us
from tests.browser.design_pages import PagesDesign
from tests.browser.door import Door
from tests.browser.pages_rig import HOSTILE, door_to, is_wider_than_screen, violations

LOOKED_AT = {
    "now": "table.xt tbody tr.go",
    "exchanges": "table.xt tbody tr.go",
    "exchanges/07f3a1c": ".drawer .why",
    "usage": "#window svg",
    "sessions": ".sess-list",
}
EMPTY = {
    "now": "No provider yet",
    "providers": "No provider yet",
    "routing": "No target",
    "exchanges": "No exchange",
    "sessions": "Sessions",
}


class Hostile(PagesDesign):
    """Clients, models, sessions and the file have names that are no names."""

    def __init__(self) -> None:
        super().__init__()
        for one in self.exchanges:
            one.project = one.model = one.agent = one.session = one.error = HOSTILE
            one.provider = one.key = HOSTILE
            one.sent_model = f"{HOSTILE}2"

    def status(self) -> rl.Status:
        said = super().status()
        said.listen[:] = [f"{'long-name.' * 12}example:8787"]
        said.providers[0].name = said.providers[0].keys[0].name = HOSTILE
        return said

    def running(self) -> list[ex.Running]:
        rows = super().running()
        for one in rows:
            one.project = one.model = one.key = one.provider = HOSTILE
        return rows

    def sessions(self) -> us.ListSessionsResponse:
        said = super().sessions()
        for one in said.sessions:
            one.project = one.target = one.model = HOSTILE
        return said


class Empty(PagesDesign):
    """A relay without providers that nothing has asked yet."""

    def __init__(self) -> None:
        super().__init__()
        self.exchanges = []

    def status(self) -> rl.Status:
        said = super().status()
        said.today.Clear()
        del said.providers[:]
        return said

    def running(self) -> list[ex.Running]:
        return []

    def sessions(self) -> us.ListSessionsResponse:
        return us.ListSessionsResponse()


@contextlib.contextmanager
def opened(folder: Path, pages: PagesDesign, tabs: Any, name: str) -> Iterator[Any]:
    with door_to(folder, pages) as door:
        yield tabs(door).open(f"#/{name}")


@pytest.mark.parametrize("name", LOOKED_AT)
def test_hostile_names_are_texts(tmp_path: Path, tabs: Any, name: str) -> None:
    with opened(tmp_path, Hostile(), tabs, name) as page:
        page.locator(LOOKED_AT[name]).first.wait_for()
        assert page.locator("main b:text-is('bold')").count() == 0
        assert is_wider_than_screen(page) == []


@pytest.mark.parametrize("name", EMPTY)
def test_a_page_without_anything_has_a_heading(tmp_path: Path, tabs: Any, name: str) -> None:
    with opened(tmp_path, Empty(), tabs, name) as page:
        page.locator(f"main >> text={EMPTY[name]}").first.wait_for()
        assert violations(page) == []


def test_labels_of_lanes_are_read_over_a_hatch(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/now")
    label = page.locator(".track:has(.hz.out) .soonlab:has-text('streaming')")
    label.wait_for()
    assert label.evaluate("one => getComputedStyle(one).backgroundColor") != "rgba(0, 0, 0, 0)"
