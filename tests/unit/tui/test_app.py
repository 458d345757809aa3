"""The dashboard in Textual, driven by its pilot; and pictures of all pages as text.

`CCRELAY_WRITE_SCREENS=1 python -m pytest tests/unit/tui/test_app.py` writes the pictures again.
"""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from ccrelay.tui.app import TopApp
from ccrelay.tui.dashboard import THEMES
from ccrelay.tui.live import Live, Trouble
from ccrelay.v1 import exchanges_pb2 as ex
from tests.unit.cli import examples
from tests.unit.tui.design import NOW_MS, FakeFeed, fake_relay, filled

SCREENS = Path(__file__).with_name("screens")
PAGES = {
    "now": "gn", "exchanges": "ge", "usage": "gu", "sessions": "gs", "providers": "gp",
    "routing": "gr", "config": "gc",
}  # fmt: skip
SIZES = ((80, 24), (120, 40), (200, 60))

Use = Callable[[TopApp, "Pilot[None]"], Awaitable[None]]


def shown(app: TopApp) -> list[str]:
    """What Textual shows."""
    canvas = app._canvas
    return [canvas.render_line(y).text for y in range(canvas.size.height)]


def used(
    size: tuple[int, int], use: Use, *, live: Live | None = None, theme: str = "none",
    unicode: bool = True,
) -> TopApp:  # fmt: skip
    """Run the app with the design's relay; `use` drives it."""
    state = live if live is not None else filled()
    relay = fake_relay()
    feed = FakeFeed(relay, state)
    app = TopApp(state, feed, theme, unicode=unicode, clock_ms=lambda: NOW_MS)
    app.dashboard.pages[6]._read = lambda path: "providers: []\n"  # type: ignore[attr-defined]
    app.relay = relay

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await use(app, pilot)

    asyncio.run(run())
    assert not feed.is_open
    return app


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_pages_look_as_they_did(size: tuple[int, int]) -> None:
    different = []

    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        for name, keys in PAGES.items():
            await pilot.press(*keys)
            await pilot.pause()
            app.draw()
            lines = shown(app)
            assert {len(line) for line in lines} == {size[0]}
            text = "".join(f"{line.rstrip()}\n" for line in lines)
            file = SCREENS / f"{name}-{size[0]}x{size[1]}.txt"
            if os.environ.get("CCRELAY_WRITE_SCREENS"):
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8")
            if file.read_text(encoding="utf-8") != text:
                different.append(f"{file.name} is now\n{text}")

    used(size, use)
    assert not different, "\n".join(different)


def test_keys_arrive_with_their_characters() -> None:
    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        await pilot.press("question_mark")
        assert any("Nothing that changes the relay" in line for line in shown(app))
        await pilot.press("escape", "slash", "h", "a", "n", "d", "enter")
        assert "Only hand, following." in shown(app)[1]
        await pilot.press("g", "u", "right_square_bracket", "y")
        assert shown(app)[-1].startswith(" Copied: ccrelay usage --by model --since 30d")
        assert app.clipboard == "ccrelay usage --by model --since 30d"

    used((80, 24), use)


def test_actions_call_the_relay_after_a_question() -> None:
    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        await pilot.press("g", "p", "j", "j", "enter", "j", "j", "j", "enter")
        assert any("ccrelay keys disable anthropic/team-a" in line for line in shown(app))
        assert app.relay.of("Providers/SetKeyEnabled") == []
        await pilot.press("j", "enter")
        [request] = app.relay.of("Providers/SetKeyEnabled")
        assert (request.key, request.enabled) == ("team-a", False)
        assert "anthropic/team-a is disabled." in shown(app)[-1]

    used((100, 30), use)


def test_the_page_is_laid_out_again_in_another_size() -> None:
    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        for size in ((120, 40), (60, 20), (200, 60), (20, 5), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            lines = shown(app)
            assert len(lines) == size[1]
            assert {len(line) for line in lines} == {size[0]}
        assert shown(app)[2].startswith("┌─ Lanes")

    used((80, 24), use)


def test_only_lines_that_changed_are_drawn_again() -> None:
    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        drawn: list[Any] = []
        canvas = app._canvas
        refresh = canvas.refresh
        canvas.refresh = lambda *regions, **how: (drawn.append(regions), refresh(*regions, **how))
        app.draw()
        assert drawn == []
        await pilot.press("j")
        [regions] = drawn
        assert 0 < len(regions) <= 3

    used((80, 24), use)


def test_a_dead_relay_is_told_and_keys_go_on() -> None:
    live = filled()

    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        live.on_trouble(Trouble("gone", NOW_MS + 4_000))
        app.draw()
        assert shown(app)[1].startswith(
            " The relay does not answer; last seen 14:32:08; next try in 4 s"
        )
        await pilot.press("g", "e")
        assert "[Exchanges]" in shown(app)[0]
        assert any("payments-api" in line for line in shown(app))

    used((80, 24), use, live=live)


def test_threads_wake_it_without_a_context() -> None:
    live = filled()

    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        def tell() -> None:
            for number in range(20):
                one = examples.exchange(0x9000 + number, "14:32:07", "thread", "zai/plan")
                live.on_exchanges(ex.TailResponse(exchanges=[one]))
                app.wake()
                time.sleep(0.01)

        thread = threading.Thread(target=tell)
        thread.start()
        while thread.is_alive():
            await pilot.pause(0.02)
        await pilot.pause(0.4)
        assert any("thread main" in line for line in shown(app))
        assert app.return_code is None

    used((80, 24), use, live=live)


def test_much_at_once_is_drawn_a_few_times() -> None:
    live = filled()

    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        before = app.draws
        for number in range(500):
            one = examples.exchange(0x9000 + number, "14:32:07", "load", "zai/plan")
            live.on_exchanges(ex.TailResponse(exchanges=[one]))
            app.wake()
            if number % 50 == 0:
                await asyncio.sleep(0)
        await pilot.pause(0.4)
        assert 1 <= app.draws - before <= 6
        assert any("load main" in line for line in shown(app))

    used((80, 24), use, live=live)


@pytest.mark.parametrize("theme", THEMES)
def test_every_theme_draws(theme: str) -> None:
    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        assert shown(app)[0].startswith(" ccrelay")
        svg = app.export_screenshot()
        has_own_paper = {"light": "#ffffff", "dark": "#0f1114"}.get(theme)
        assert has_own_paper is None or has_own_paper in svg.lower()

    used((80, 24), use, theme=theme)


def test_the_mouse_scrolls_and_opens_tabs() -> None:
    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        at = shown(app)[0].index("Usage")
        await pilot.click(offset=(at + 1, 0))
        assert "[Usage]" in shown(app)[0]

    used((80, 24), use)


def test_without_unicode_all_is_ascii() -> None:
    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        assert all(line.isascii() for line in shown(app))

    used((80, 24), use, unicode=False)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_it_ends(key: str) -> None:
    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        await pilot.press(key)
        await pilot.pause()

    assert used((80, 24), use).return_code == 0


def test_it_can_be_suspended_and_is_drawn_whole_again() -> None:
    async def use(app: TopApp, pilot: "Pilot[None]") -> None:
        calls: list[str] = []
        app.action_suspend_process = lambda: calls.append("suspended")
        await pilot.press("ctrl+z")
        assert calls == ["suspended"]
        drawn: list[Any] = []
        refresh = app._canvas.refresh
        app._canvas.refresh = lambda *regions, **how: (
            drawn.append(regions),
            refresh(*regions, **how),
        )
        app.app_resume_signal.publish(app)
        await pilot.pause()
        assert () in drawn  # no region: all of it

    used((80, 24), use)
