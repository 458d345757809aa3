import pytest

from ccrelay.cli.screen import Screen
from ccrelay.tui.dashboard import THEMES, trouble_sentence
from ccrelay.tui.live import Live, Trouble
from ccrelay.tui.paint import cells
from ccrelay.tui.sheets import Text
from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl
from tests.unit.cli import examples
from tests.unit.cli.served import status
from tests.unit.tui.design import NOW_MS, Shown, failing, filled, rules

LETTERS = "neusprc"


@pytest.mark.parametrize("width", [30, 40, 60, 79, 80, 100, 116, 120, 200])
@pytest.mark.parametrize("letter", LETTERS)
def test_every_page_fills_the_screen_exactly(width: int, letter: str) -> None:
    shown = Shown(width, 24)
    shown.press("g", letter)
    painted = shown.painted()
    assert len(painted) == 24
    assert {cells(line) for line in painted} == {width}


@pytest.mark.parametrize("letter", LETTERS)
def test_every_page_is_ascii_without_unicode(letter: str) -> None:
    shown = Shown(100, 40, unicode=False)
    assert all(line.isascii() for line in shown.press("g", letter))
    assert all(line.isascii() for line in shown.press("enter"))


def test_pages_are_reached_by_letter_number_and_tab() -> None:
    shown = Shown(120, 30)
    for number, (letter, title) in enumerate(
        zip(LETTERS, ("Now", "Exchanges", "Usage", "Sessions", "Providers", "Routing", "Config"),
            strict=True), 1
    ):  # fmt: skip
        assert f"[{title}]" in shown.press("g", letter)[0]
        shown.press("g", "n")
        assert f"[{title}]" in shown.press(str(number))[0]
    shown.press("1")
    assert "[Exchanges]" in shown.press("tab")[0]
    assert "[Now]" in shown.press("shift+tab")[0]


def test_g_shows_where_it_leads_and_another_key_leads_nowhere() -> None:
    shown = Shown(120, 30)
    assert shown.press("g")[-1].startswith(" g: n Now  e Exchanges")
    assert "[Now]" in shown.press("x")[0]
    assert not shown.lines()[-1].startswith(" g:")


def test_q_and_ctrl_c_quit() -> None:
    for key in ("q", "ctrl+c"):
        shown = Shown()
        assert not shown.dashboard.wants_to_quit
        shown.press(key)
        assert shown.dashboard.wants_to_quit


def test_escape_and_a_letter_soon_after_it_are_two_keys() -> None:
    shown = Shown()
    shown.press("/")
    shown.dashboard.key("alt+g", None)
    assert "[Usage]" in shown.press("u")[0]


def test_q_is_a_letter_in_a_filter() -> None:
    shown = Shown()
    shown.press("/")
    shown.type("q?gy")
    assert shown.lines()[-1].startswith(" Filter: q?gy")
    assert not shown.dashboard.wants_to_quit


@pytest.mark.parametrize(
    ("letter", "command"),
    [
        ("n", "ccrelay status --watch"),
        ("e", "ccrelay exchanges --follow"),
        ("u", "ccrelay usage --by model --since 7d"),
        ("s", "ccrelay usage --by session --since 1d"),
        ("p", "ccrelay keys --watch"),
        ("r", "ccrelay route explain --model claude-sonnet-5-5"),
        ("c", "ccrelay config show"),
    ],
)
def test_y_copies_the_command_and_shows_it(letter: str, command: str) -> None:
    shown = Shown()
    lines = shown.press("g", letter, "y")
    assert shown.copied == [command]
    assert lines[-1] == f" Copied: {command}"
    shown.now_ms += 60_000
    assert "Copied" not in shown.lines()[-1]


def test_t_goes_through_the_themes() -> None:
    shown = Shown()
    shown.dashboard.theme = "system"
    found = []
    for _ in THEMES:
        shown.press("t")
        found.append(shown.dashboard.theme)
    assert found == ["light", "dark", "none", "system"]


def test_the_keys_are_listed_and_any_key_closes_the_list() -> None:
    shown = Shown()
    text = "\n".join(shown.press("?"))
    for word in (
        "hold still: new rows",
        "copy the command",
        "theme",
        "Nothing that changes the relay",
    ):
        assert word in text
    assert "hold still" not in "\n".join(shown.press("x"))


def test_slash_and_f_on_the_first_page_lead_to_the_exchanges() -> None:
    shown = Shown()
    assert shown.press("/")[-1].startswith(" Filter:")
    assert "[Exchanges]" in shown.press("escape")[0]
    shown = Shown()
    assert "held still" in shown.press("f")[1]


def test_what_is_pasted_goes_to_the_filter_or_the_sheet() -> None:
    shown = Shown()
    shown.press("/")
    shown.dashboard.paste("model:opus\n")
    assert shown.lines()[-1].rstrip() == " Filter: model:opus"
    shown.press("escape")
    shown.dashboard.paste("ignored")
    shown.dashboard.open(Text("a", "b"))
    shown.dashboard.paste("ignored")


def test_a_click_on_a_tab_opens_its_page() -> None:
    shown = Shown()
    line = shown.lines()[0]
    for title in ("Config", "Usage", "Now"):
        shown.dashboard.click(line.index(title) + 1, 0, shown.screen)
        line = shown.lines()[0]
        assert f"[{title}]" in line
    shown.dashboard.click(line.index("Usage"), 5, shown.screen)
    assert "[Now]" in shown.lines()[0]


# ---- a relay that does not answer


def test_the_sentence_about_a_dead_relay() -> None:
    trouble = Trouble("gone", NOW_MS + 4_000)
    assert trouble_sentence(trouble, NOW_MS, NOW_MS) == (
        "The relay does not answer; last seen 14:32:08; next try in 4 s"
    )
    assert trouble_sentence(trouble, 0, NOW_MS + 5_000) == ("The relay does not answer; trying now")
    refused = trouble._replace(is_hopeless=True)
    assert trouble_sentence(refused, 0, NOW_MS).startswith("The relay refuses")


def test_the_last_figures_stay_paler() -> None:
    shown = Shown()
    before = shown.lines()
    shown.live.on_trouble(Trouble("gone", NOW_MS + 4_000))
    painted = shown.painted()
    lines = shown.lines()
    assert lines[1] == " The relay does not answer; last seen 14:32:08; next try in 4 s"
    assert "○ 14:32:08" in lines[0]
    assert lines[9:15] == before[9:15]
    assert all(line.startswith("\x1b[2m") for line in painted[2:-1] if line.strip())
    shown.live.on_alive(NOW_MS + 1)
    assert "Answering." in shown.lines()[1]


def test_a_relay_that_never_answered_is_told_with_what_to_do() -> None:
    live = Live()
    shown = Shown(live=live)
    assert "Asking the relay ..." in shown.text()
    live.on_trouble(Trouble("No relay runs. Start one: ccrelay serve", NOW_MS + 1_000))
    text = shown.text()
    assert "No relay runs. Start one: ccrelay serve" in text
    assert "○ no relay" in text


def test_nothing_is_asked_of_a_dead_relay_again_and_again() -> None:
    shown = Shown()
    shown.press("g", "s")
    asked = len(shown.relay.asked)
    shown.now_ms += 60_000
    shown.dashboard.tick()
    assert len(shown.relay.asked) == asked + 1
    shown.live.on_trouble(Trouble("gone", NOW_MS))
    shown.now_ms += 60_000
    shown.dashboard.tick()
    assert len(shown.relay.asked) == asked + 1


def test_a_page_asks_again_when_it_is_time() -> None:
    shown = Shown()
    shown.press("g", "u")
    asked = len(shown.asked("Usage/Query"))
    shown.now_ms += 1_000
    shown.dashboard.tick()
    assert len(shown.asked("Usage/Query")) == asked
    shown.now_ms += 5_000
    shown.dashboard.tick()
    assert len(shown.asked("Usage/Query")) == asked + 2


def test_a_failure_that_no_page_takes_is_said() -> None:
    shown = Shown()
    shown.relay.answers["Relay/GetVersion"] = failing("It \x1b[31mbroke.")
    shown.dashboard.call("Relay/GetVersion", None, object, lambda answer: None)
    assert "broke." in shown.lines()[-1]
    assert "\x1b" not in shown.lines()[-1]


HOSTILE = "\x1b]0;title\x07\x1b[2J\u202e"


@pytest.mark.parametrize("letter", LETTERS)
def test_what_comes_from_elsewhere_controls_no_terminal(letter: str) -> None:
    live = filled()
    said = status()
    for provider in said.providers:
        provider.base_url = HOSTILE
        for key in provider.keys:
            key.name = key.fingerprint = key.cooldown_reason = HOSTILE
            for window in key.windows:
                window.name = f"5h_{HOSTILE}"
    said.notices.add(severity=2, subject=HOSTILE, message=HOSTILE)
    said.strategy = HOSTILE
    live.on_status(rl.WatchStatusResponse(status=said, whole=True))
    one = examples.exchange(0x999, "14:32:07", HOSTILE, f"{HOSTILE}/{HOSTILE}", model=HOSTILE)
    live.on_exchanges(ex.TailResponse(exchanges=[one]))
    methods = ("Usage__Query", "Usage__ListSessions", "Routing__ListRules", "Config__Get",
               "Exchanges__Get", "Config__ListRevisions")  # fmt: skip
    for answers in ({}, {method: failing(HOSTILE) for method in methods}):
        shown = Shown(130, 45, live=live, **answers)
        for keys in (("g", letter), ("j", "j"), ("enter",)):
            text = "\n".join(shown.press(*keys))
            assert "\x1b" not in text
            assert "\x07" not in text
            assert "\u202e" not in text


@pytest.mark.parametrize("size", [(10, 24), (29, 24), (80, 7), (1, 1)])
def test_a_terminal_that_is_too_small_is_told(size: tuple[int, int]) -> None:
    shown = Shown()
    lines = shown.dashboard.lines(Screen(width=size[0], height=size[1]), size[1])
    assert len(lines) == size[1]
    assert {cells(line) for line in lines} == {size[0]}


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    shown = Shown()
    shown.press("g", "u")
    before = len(shown.asked("Usage/Query"))
    shown.dashboard.say("a word")
    shown.now_ms -= 3_600_000
    shown.dashboard.tick()
    assert len(shown.asked("Usage/Query")) > before
    assert "a word" not in shown.text()


def test_a_relay_that_is_back_is_asked_at_once() -> None:
    shown = Shown(Routing__ListRules=failing("No relay listens.", "UNAVAILABLE"))
    shown.live.on_trouble(Trouble("gone", NOW_MS + 1_000))
    shown.press("g", "r")
    shown.dashboard.tick()
    assert "No relay listens." in shown.text()
    shown.relay.answers["Routing/ListRules"] = rules()
    shown.live.on_alive(NOW_MS)
    shown.dashboard.tick()
    assert "No relay listens." not in shown.text()
