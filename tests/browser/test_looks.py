"""Pages in both themes and three sizes: axe finds nothing, nothing overflows, frames are cheap.

axe-core comes from `node_modules` of `ccrelay/web` (`npm install` there), or from CCRELAY_AXE.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser.door import DIST, Door
from tests.browser.many import Many, heap_mb, load_all, scroll
from tests.browser.relay import until
from tests.loopback.control.harness import TOKEN, serve

AXE = Path(os.environ.get("CCRELAY_AXE") or DIST.parent / "node_modules/axe-core/axe.min.js")
# The pages of this engineer's part; others add theirs beside their own tests.
PAGES = {
    "now": ".heed a",
    "exchanges": "table.xv tr.go",
    "exchanges/07f3a1c": ".drawer .why .took",
    "sessions": "table.tree tbody tr",
}
SIZES = {"wide": (1440, 900), "middle": (1024, 768), "phone": (390, 844)}
CPU_MS = 20.0  # of the main thread for one frame; 11 on a quiet machine
GROWTH = 1.3


def violations(page: Any, without: str = "") -> list[str]:
    """What axe finds, one line each, but for elements of a selector."""
    if not AXE.exists():
        pytest.fail("no axe-core: npm install in ccrelay/web, or CCRELAY_AXE", pytrace=False)
    page.evaluate(AXE.read_text())
    where = f"{{exclude: [['{without}']]}}" if without else "document"
    found = page.evaluate(f"axe.run({where}, {{resultTypes: ['violations']}})")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(design: Door, tabs: Any, name: str, theme: str) -> None:
    page = tabs(design, color_scheme=theme).open(f"#/{name}")
    page.wait_for_selector(PAGES[name])
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_states(design: Door, tabs: Any, theme: str) -> None:
    design.read_only = True
    page = tabs(design, color_scheme=theme).open("#/now")
    page.wait_for_selector(".banner >> text=Read-only.")
    assert violations(page) == []
    page.keyboard.press("?")
    page.wait_for_selector("[role=dialog]")
    assert violations(page) == []
    page.keyboard.press("Escape")
    design.cut()
    page.wait_for_selector(".banner.lost")
    # What is shown is paler while the relay is gone: it is old. The banner is not.
    assert violations(page, without="#main") == []
    other = tabs(design, color_scheme=theme).page
    other.goto(design.url)
    other.wait_for_selector(".blank")
    assert violations(other) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(design: Door, tabs: Any, name: str, size: str) -> None:
    width, height = SIZES[size]
    page = tabs(design, viewport={"width": width, "height": height}).open(f"#/{name}")
    page.wait_for_selector(PAGES[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_ten_thousand_exchanges_scroll(tmp_path: Path, tabs: Any) -> None:
    with serve(tmp_path, Many(10_000).behaviours()) as api:
        door = Door(api.address, TOKEN)
        page = tabs(door).open("#/exchanges")
        page.wait_for_selector("table.xv tr.go")
        load_all(page, 10_000)
        assert page.locator("table.xv tr.go").count() < 100
        found = scroll(page, 300)
        assert found.rows >= 10_000
        # How many frames come in time depends on what else the machine does; this does not.
        assert found.cpu < CPU_MS, found
        door.close()


@pytest.mark.parametrize("name", ["exchanges", "now"])
def test_five_hundred_a_second_do_not_grow(tmp_path: Path, tabs: Any, name: str) -> None:
    """For ten minutes: `python -m bench.web_load --seconds 600`."""
    many = Many(1000, 500)
    many.burst = 9_500  # the list is full from the beginning on
    with serve(tmp_path, many.behaviours()) as api:
        door = Door(api.address, TOKEN)
        page = tabs(door).open(f"#/{name}")
        page.wait_for_selector("table.xt tbody tr.go")
        until(lambda: many.sent >= 12_000, "the load does not come")
        page.wait_for_timeout(3000)  # a busy machine lets the page lag behind
        before, sent = heap_mb(page), many.sent
        until(lambda: many.sent - sent >= 7_500, "the load does not come")
        after = heap_mb(page)
        assert after < before * GROWTH, (before, after)
        door.close()
