"""Debian's Chromium, driven by Playwright: `launched()` is a browser, closed at the end."""

import atexit
import contextlib
import functools
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NO_CHROMIUM = "Chromium is needed for these tests: apt-get install chromium, or CCRELAY_CHROMIUM"
NO_PLAYWRIGHT = "Playwright is needed for these tests: pip install '.[test,browser]'"
# Nothing goes out: no updates, no lists, no proxy of the machine.
ARGUMENTS = (
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # GPU and shared memory are what containers have least of.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--enable-precise-memory-info",
)


def chromium_path() -> str:
    """Return the program; without one the test fails."""
    found = (shutil.which(name) for name in ("chromium", "google-chrome"))
    path = os.environ.get("CCRELAY_CHROMIUM") or next(filter(None, found), None)
    if not path:
        pytest.fail(NO_CHROMIUM, pytrace=False)
    return path


@functools.cache
def driver() -> "Playwright":
    """Return the one driver of this process: it has a loop of its own, which allows no second."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail(NO_PLAYWRIGHT, pytrace=False)
    started = sync_playwright().start()
    atexit.register(started.stop)
    return started


@contextlib.contextmanager
def launched(arguments: Sequence[str] = ()) -> Iterator["Browser"]:
    """Run Chromium, with further options of its command line."""
    # A container has no user namespaces for root.
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    browser = driver().chromium.launch(
        executable_path=chromium_path(), args=[*ARGUMENTS, *sandbox, *arguments]
    )
    try:
        yield browser
    finally:
        browser.close()
