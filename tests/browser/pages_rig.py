"""What tests of the pages Usage, Providers, Routing, Config and First run share."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.browser.design_pages import PagesDesign
from tests.browser.door import Door
from tests.loopback.control.harness import TOKEN, Behaviour, serve

AXE = Path(__file__).parents[2] / "ccrelay/web/node_modules/axe-core/axe.min.js"
HOSTILE = '<b>bold</b>" \u202egnp.\u202c ' + "x" * 300
SIZES = ((1440, 900), (1024, 768), (390, 844))


@contextlib.contextmanager
def door_to(
    folder: Path, pages: PagesDesign, others: dict[str, Behaviour] | None = None
) -> Iterator[Door]:
    """A door to a fake relay; `others` replace what it does."""
    with serve(folder, pages.behaviours() | (others or {})) as served:
        door = Door(served.address, TOKEN)
        try:
            yield door
        finally:
            door.close()


@functools.cache
def _axe() -> str:
    assert AXE.exists(), "axe-core is missing: npm ci in ccrelay/web"
    return AXE.read_text()


def violations(page: Any) -> list[str]:
    """What axe finds on the page as it stands: rule, element, and why."""
    page.evaluate("document.fonts.ready")
    page.evaluate(_axe())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['target']}: {node.get('failureSummary', '')}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def is_wider_than_screen(page: Any) -> list[str]:
    """Widths at which the page scrolls sideways, each with the element that is too wide."""
    found = []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{width}: {page.evaluate(_WIDEST)}")
    return found


# What reaches out of the window, and is in no box that scrolls.
_WIDEST = """
[...document.querySelectorAll('main *')].filter((one) => {
  if (one.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let up = one.parentElement; up; up = up.parentElement)
    if (/auto|scroll|hidden/.test(getComputedStyle(up).overflowX)) return false;
  return true;
}).map((one) => one.tagName + '.' + one.className).slice(-3).join(' ')
"""
