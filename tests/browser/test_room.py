"""Names as people give them, and words of states: what matters can be read at each width."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl, usage_pb2 as us
from tests.browser.design_pages import PagesDesign
from tests.browser.door import Door
from tests.browser.pages_rig import door_to, is_wider_than_screen

PROJECT = "a-project-with-a-name-that-goes-on-and-on"
PROVIDER = "a-provider-with-a-long-name-in-europe-west"
KEY = "the-key-of-the-platform-team"
WIDTHS = (1440, 1024, 720, 360)
NAME_PX = 44  # some six letters, and the dots
# Cells of a kind whose text is cut.
CUT = """kind => [...document.querySelectorAll(kind)]
  .filter(one => one.scrollWidth > one.clientWidth)
  .map(one => one.innerText)"""


class Long(PagesDesign):
    """The relay of the design with longer names, and a request that waits for room."""

    def __init__(self) -> None:
        super().__init__()
        for at, one in enumerate(self.exchanges):
            one.project = PROJECT
            if at % 2 or one.attempts > 1:
                one.key = KEY

    def status(self) -> rl.Status:
        said = super().status()
        provider = said.providers[0]
        provider.name, provider.keys[0].name = PROVIDER, KEY
        said.queued, said.today.lost = 12, 1_234
        return said

    def running(self) -> list[ex.Running]:
        rows = super().running()
        rows[0].phase = ex.Running.PHASE_QUEUED
        return rows

    def sessions(self) -> us.ListSessionsResponse:
        said = super().sessions()
        for one in said.sessions:
            one.project = PROJECT
        return said


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Door]:
    """A door to it."""
    with door_to(tmp_path, Long()) as door:
        yield door


def shown(tabs: Any, door: Door, address: str, width: int, element: str) -> Any:
    """A page, once an element is there."""
    page = tabs(door, viewport={"width": width, "height": 900}).open(f"#/{address}")
    page.locator(element).first.wait_for()
    return page


def is_readable(page: Any, names: str) -> bool:
    """Whether names are whole, or as much of each is seen as tells it from others."""
    room = page.locator(names).evaluate_all(
        "all => all.map(one => [one.clientWidth, one.scrollWidth])"
    )
    return bool(room) and all(seen >= min(NAME_PX, whole) for seen, whole in room)


@pytest.mark.parametrize("width", WIDTHS)
def test_now_has_room_for_names_and_states(fake: Door, tabs: Any, width: int) -> None:
    page = shown(tabs, fake, "now", width, "td.a-state >> text=waiting for room")
    assert page.evaluate(CUT, "td.a-state, .strip dd.sub") == []
    assert is_readable(page, "section[aria-label=Providers] td:first-child .tgt > span:last-child")
    box = page.locator("section[aria-label=Providers] .tb")
    assert box.evaluate("one => one.scrollWidth - one.clientWidth") <= 0


@pytest.mark.parametrize("width", WIDTHS)
def test_exchanges_have_room_for_the_outcome_and_the_last_target(
    fake: Door, tabs: Any, width: int
) -> None:
    page = shown(tabs, fake, "exchanges", width, "td.a-state >> text=waiting for room")
    assert page.evaluate(CUT, "td.a-state") == []
    cell = page.locator("td.a-where:has(.hop)").first
    cell.wait_for()
    last = cell.locator(".tgt").last
    edges = [one.evaluate("one => one.getBoundingClientRect().right") for one in (last, cell)]
    assert edges[0] <= edges[1]
    assert last.locator("> span:last-child").evaluate("one => one.clientWidth") >= NAME_PX
    # The focus of a link that is cut does not move its text.
    link = page.locator("td.a-what a").last
    link.focus()
    link.evaluate("one => one.scrollIntoView({inline: 'end'})")
    assert link.evaluate("one => one.closest('td').scrollLeft") == 0


@pytest.mark.parametrize("width", [*WIDTHS, 1280, 1101, 900])
def test_sessions_and_their_tree_fit(fake: Door, tabs: Any, width: int) -> None:
    page = shown(tabs, fake, "sessions", width, "table.tree tbody tr")
    assert is_wider_than_screen(page) == []
    page.set_viewport_size({"width": width, "height": 900})
    box = page.locator(".tb:has(table.tree)")
    assert box.evaluate("one => one.scrollWidth - one.clientWidth") <= 0


@pytest.mark.parametrize("width", WIDTHS)
def test_keys_have_room_for_name_and_state(fake: Door, tabs: Any, width: int) -> None:
    page = shown(tabs, fake, "providers", width, "table.fix")
    assert page.evaluate(CUT, "table.fix td:has(> .state)") == []
    assert is_readable(page, ".pv-key")


def test_what_was_lost_is_said_where_nothing_took_over(tmp_path: Path, tabs: Any) -> None:
    class Lost(Long):
        def status(self) -> rl.Status:
            said = super().status()
            said.answering, said.today.failovers = False, 0
            return said

    with door_to(tmp_path, Lost()) as door:
        page = shown(tabs, door, "now", 1440, ".strip")
        assert page.locator("h1").inner_text().startswith("Not answering:")
        said = page.locator(".head p").inner_text()
        assert said == "1,234 exchanges were lost today; none was answered by a second target."
        assert page.locator(".strip dd.sub").nth(1).inner_text().startswith("1,234 lost, ")
