"""Pages in both themes and three sizes: axe finds nothing, nothing overflows, frames are cheap.

axe-core comes from `node_modules` of `ccrelay/web` (`npm install` there), or from CCRELAY_AXE.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser.door import DIST, Door
from tests.browser.many import BARE, Many, cpu, heap_mb, load_all
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
# CPU of a frame, as parts of the frame of a table of MANY / 10 rows, and of a bare text.
AS_FEW, AS_BARE = 1.5, 30.0
MANY = 10_000
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


@pytest.mark.parametrize(
    ("address", "method"),
    [
        ("sessions", "Usage/ListSessions"),
        ("usage", "Usage/Query"),
        ("config", "Config/Get"),
        ("setup", "Setup/Detect"),
        ("exchanges", "Exchanges/List"),
    ],
)
def test_axe_finds_nothing_on_a_page_that_could_not_be_read(
    design: Door, tabs: Any, address: str, method: str
) -> None:
    design.errors[method] = (13, "the ledger is closed")
    page = tabs(design).open(f"#/{address}")
    page.wait_for_selector("text=could not be")
    assert violations(page) == []


# Whether the middle of what has the focus is behind something else that is fixed.
COVERED = """() => {
  const one = document.activeElement.getBoundingClientRect();
  const seen = document.elementFromPoint(one.left + one.width / 2, one.top + one.height / 2);
  const other = seen?.closest(".dock, .bar, .drawer");
  return Boolean(other) && !other.contains(document.activeElement);
}"""


@pytest.mark.parametrize("address", ["now", "exchanges", "exchanges/07f3a1c", "sessions"])
def test_the_keyboard_finds_nothing_that_is_hidden(design: Door, tabs: Any, address: str) -> None:
    page = tabs(design, viewport={"width": 360, "height": 780}).open(f"#/{address}")
    page.wait_for_selector(PAGES[address])
    seen = 0
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        assert not page.evaluate(COVERED), page.evaluate("document.activeElement.outerHTML")
        seen += 1
    assert seen > 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(design: Door, tabs: Any, name: str, size: str) -> None:
    width, height = SIZES[size]
    page = tabs(design, viewport={"width": width, "height": height}).open(f"#/{name}")
    page.wait_for_selector(PAGES[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_ten_thousand_exchanges_scroll(tmp_path: Path, tabs: Any) -> None:
    """In 60 frames a second: `python -m bench.web_load`."""
    with serve(tmp_path, Many(MANY).behaviours()) as api:
        door = Door(api.address, TOKEN)
        tab = tabs(door)
        page = tab.open("#/exchanges")
        page.wait_for_selector("table.xv tr.go")
        load_all(page, MANY // 10)
        few = cpu(page)
        load_all(page, MANY)
        assert page.locator("table.xv tr.go").count() < 100
        many = cpu(page)
        bare = tab.context.new_page()
        bare.set_content(BARE)
        unit = cpu(bare)
        assert many < few * AS_FEW, (few, many, unit)
        assert many < unit * AS_BARE, (few, many, unit)
        door.close()


@pytest.mark.parametrize("name", ["exchanges", "now"])
def test_a_full_list_does_not_grow(tmp_path: Path, tabs: Any, name: str) -> None:
    """With 500 a second for ten minutes: `python -m bench.web_load --seconds 600`."""
    many = Many(1000, 1000)
    with serve(tmp_path, many.behaviours()) as api:
        door = Door(api.address, TOKEN)
        page = tabs(door).open(f"#/{name}")
        # No `wait_for_selector`: its handle would keep the rows of that moment.
        page.locator("table.xt tbody tr.go").first.wait_for()
        heaps = []
        for more in (12_000, 7_500):  # the list keeps 10,000
            many.pause_at = many.sent + more
            until(lambda: many.sent == many.pause_at, "the load does not come")
            # The page has no more to do: it has drawn the newest.
            newest = many.last.removeprefix("req_ccrelay_")
            page.locator(f"table.xt tbody tr.go a[href*='{newest}']").wait_for()
            heaps.append(heap_mb(page))
        before, after = heaps
        assert after < before * GROWTH, (before, after)
        door.close()
