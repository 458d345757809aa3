"""Pictures of all faces for the documentation: `python -m tests.browser.pictures [FOLDER]`.

They show the design's relay, so nothing in them is of a real one. Needs Chromium, Playwright
and Textual.
"""

import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.browser.small_png import shrink

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from ccrelay.tui.app import TopApp
    from tests.browser.door import Door

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
WINDOW = {"width": 1440, "height": 900}
TERMINAL = (120, 40)
THEMES = ("light", "dark")
# Name of the picture -> address, and what is there once the page is complete.
PAGES = {
    "now": ("now", ".lane"),
    "exchanges": ("exchanges", "tbody tr:not(.spacer)"),
    "exchange-detail": ("exchanges/{}", ".wf"),
    "usage": ("usage", ".chart"),
    "sessions": ("sessions", "tbody tr"),
    "providers": ("providers", "tbody tr"),
    "routing": ("routing", ".why"),
    "config": ("config", ".ed-area"),
    "first-run": ("setup", "table.su-found"),
}
PATIENCE_MS = 15_000
QUIET_MS = 900  # of the slowest page: answers, then what is measured and drawn again


def take(browser: Any, door: "Door", theme: str, folder: Path) -> list[Path]:
    """Write the pictures of all pages in one theme, and return their files."""
    from tests.unit.cli import examples

    context = browser.new_context(
        viewport=WINDOW, color_scheme=theme, locale="en-GB", reduced_motion="reduce"
    )
    page, empty = context.new_page(), context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(door.link)
    page.wait_for_selector("nav.tabs")
    moved = examples.detail().exchange.id  # the one whose attempts and bill it has
    page.bring_to_front()
    files = []
    for name, (address, element) in PAGES.items():
        page.goto(f"{door.url}#/{address.format(moved)}")
        page.wait_for_selector(f"main >> {element}")
        page.wait_for_timeout(QUIET_MS)
        files.append(folder / f"{name}-{theme}.png")
        files[-1].write_bytes(shrink(empty, page.screenshot()))
    context.close()
    return files


def take_pages(folder: Path) -> list[Path]:
    """Write the pictures of the web page in both themes."""
    from tests.browser.chromium import launched
    from tests.browser.design_pages import PagesDesign
    from tests.browser.pages_rig import door_to

    files = []
    with launched() as browser, tempfile.TemporaryDirectory() as scratch:
        for theme in THEMES:
            place = Path(scratch, theme)
            place.mkdir()
            with door_to(place, PagesDesign()) as door:
                files += take(browser, door, theme, folder)
    return files


def take_top(folder: Path) -> Path:
    """Write the picture of `ccrelay top`, and return its file."""
    from tests.unit.tui.test_app import used

    file = folder / "top.svg"

    async def use(app: "TopApp", pilot: "Pilot[None]") -> None:
        await pilot.press("g", "n")
        await pilot.pause()
        app.draw()
        svg = app.export_screenshot(title="ccrelay top")
        # Fonts from another machine: a picture in a document may not load them anyway.
        svg = re.sub(r"@font-face \{.*?\}\s*|<!-- .*? -->\s*", "", svg, flags=re.DOTALL)
        file.write_text(svg, encoding="utf-8")

    # In a thread: Playwright's loop runs in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(used, TERMINAL, use, theme="dark").result()
    return file


def main() -> None:
    """Write all of them, and tell their sizes."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        # For the browser, and for modules of the tests.
        os.environ["XDG_STATE_HOME"] = os.environ["HOME"] = home
        for file in [*take_pages(folder), take_top(folder)]:
            print(f"{file.stat().st_size / 1000:7.1f} kB  {file}")


if __name__ == "__main__":
    main()
