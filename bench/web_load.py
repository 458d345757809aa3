"""The web page under load: first data, frames of 10,000 rows, memory under 500 exchanges a second.

    python -m bench.web_load                    # a minute of load
    python -m bench.web_load --seconds 600

A management API in this process gives the exchanges; Chromium shows them. Needs playwright and
Chromium.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS = 10_000
CHROMIUM = os.environ.get("CCRELAY_CHROMIUM") or shutil.which("chromium") or "chromium"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the load lasts")
    parser.add_argument("--rate", type=int, default=500, help="exchanges a second")
    chosen = parser.parse_args()
    os.environ.setdefault("XDG_STATE_HOME", tempfile.mkdtemp(prefix="ccrelay-bench-"))
    from playwright.sync_api import sync_playwright

    arguments = ["--disable-gpu", "--enable-precise-memory-info"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        _scrolling(browser)
        for page in ("exchanges", "now"):
            _load(browser, page, chosen.rate, chosen.seconds)
        browser.close()


def _scrolling(browser: Any) -> None:
    from tests.browser.door import Door
    from tests.browser.many import Many, load_all, scroll
    from tests.loopback.control.harness import TOKEN, serve

    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder), Many(ROWS).behaviours()) as api,
    ):
        door = Door(api.address, TOKEN)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(door.link)
        page.wait_for_selector(".strip")
        page.goto("about:blank")
        page.goto(door.url)
        page.wait_for_selector("table.xt tbody tr.go")
        print(f"first data after {page.evaluate('performance.now()'):.0f} ms")
        page.goto(f"{door.url}#/exchanges")
        page.wait_for_selector("table.xv tr.go")
        load_all(page, ROWS)
        found = scroll(page, 2000)
        print(
            f"{found.rows:,} rows scroll in {found.count} frames: {found.median:.1f} ms in the "
            f"median, {found.p95:.1f} ms at 95 %, {found.slowest:.1f} ms at most; "
            f"{found.cpu:.1f} ms of CPU each"
        )
        page.close()
        door.close()


def _load(browser: Any, name: str, rate: int, seconds: float) -> None:
    from tests.browser.door import Door
    from tests.browser.many import Many, heap_mb, nodes
    from tests.loopback.control.harness import TOKEN, serve

    many = Many(1000, rate)
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), many.behaviours()) as api:
        door = Door(api.address, TOKEN)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(door.link)
        page.wait_for_selector(".strip")
        page.goto(f"{door.url}#/{name}")
        print(f"{name}, {rate} exchanges a second:")
        began = time.monotonic()
        # The list is full after 10,000: what comes after that may not grow.
        for at in range(7):
            due = began + seconds * at / 6
            page.wait_for_timeout(max(0.0, due - time.monotonic()) * 1000)
            took = time.monotonic() - began
            print(
                f"  {took:6.0f} s  {many.sent:8,} exchanges  {heap_mb(page):6.1f} MB  "
                f"{nodes(page):6,} elements"
            )
        page.close()
        door.close()


if __name__ == "__main__":
    main()
