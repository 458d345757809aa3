import pytest

from ccrelay.cli.main import cli
from ccrelay.v1 import providers_pb2 as pb, relay_pb2 as rl
from tests.unit.cli.served import status
from tests.unit.cli.test_told_commands import told
from tests.unit.tui.design import Shown, failing, filled

CHANGES = (
    "Providers/SetEnabled", "Providers/SetKeyEnabled", "Providers/ClearCooldown",
    "Providers/SetWeight", "Providers/Probe",
)  # fmt: skip


def opened(width: int = 100, height: int = 30, **answers: object) -> Shown:
    shown = Shown(width, height, **answers)
    shown.press("g", "p")
    return shown


def choose(shown: Shown, text: str) -> list[str]:
    """Select the option of the open sheet that begins with a text, and take it."""
    for _ in range(12):
        lines = shown.lines()
        if any(f"▌{text}" in line for line in lines):
            return shown.press("enter")
        shown.press("j")
    raise AssertionError(f"no {text!r}: {lines}")


def changed(shown: Shown) -> list[str]:
    return [name for name, _ in shown.relay.asked if name in CHANGES]


def test_states_are_told_in_words() -> None:
    lines = opened().lines()
    assert lines[1].startswith(" 3 in use, 1 idle, 1 in cooldown.")
    assert any("team-b" in line and "cooldown 0:47" in line for line in lines)
    assert any("bedrock" in line and "breaker open" in line for line in lines)


def test_below_the_table_stands_what_is_known_of_the_selected_row() -> None:
    shown = opened()
    assert any("https://api.anthropic.com" in line for line in shown.lines())
    assert any("7 d" in line and "runs out Sat 08:00" in line for line in shown.press("j"))
    assert any("Rests: 429" in line for line in shown.press("j", "j"))
    lines = shown.press("j")
    assert any("Breaker open: 3 failures, open since 14:19:52; probe in 0:22" in x for x in lines)


@pytest.mark.parametrize(
    ("rows", "option", "method", "members"),
    [
        (0, "Disable", "Providers/SetEnabled", {"provider": "anthropic", "enabled": False}),
        (3, "Disable", "Providers/SetKeyEnabled",
         {"provider": "anthropic", "key": "team-b", "enabled": False}),
        (3, "Clear cooldown", "Providers/ClearCooldown",
         {"provider": "anthropic", "key": "team-b"}),
        (0, "Clear all cooldowns", "Providers/ClearCooldown",
         {"provider": "anthropic", "key": ""}),
        (2, "Probe: count_tokens", "Providers/Probe",
         {"provider": "anthropic", "key": "team-a", "kind": pb.PROBE_KIND_COUNT_TOKENS}),
    ],
)  # fmt: skip
def test_an_action_asks_and_then_calls(
    rows: int, option: str, method: str, members: dict[str, object]
) -> None:
    shown = opened()
    shown.press(*["j"] * rows, "enter")
    lines = choose(shown, option)
    assert any("The same: ccrelay " in line for line in lines)
    assert any("▌Change nothing" in line for line in lines)
    assert changed(shown) == []
    shown.press("j", "enter")
    assert changed(shown) == [method]
    request = shown.asked(method)[0]
    assert {name: getattr(request, name) for name in members} == members


def test_the_first_answer_changes_nothing() -> None:
    shown = opened()
    shown.press("enter")
    choose(shown, "Disable")
    shown.press("enter")
    assert changed(shown) == []
    assert "┌─ anthropic" not in shown.text()


@pytest.mark.parametrize("key", list("abcdehilmnopruvwxzDEPW0 "))
def test_no_single_key_changes_anything(key: str) -> None:
    shown = opened()
    shown.press("j", "j", "space" if key == " " else key)
    assert changed(shown) == []


def test_what_is_disabled_can_be_enabled() -> None:
    live = filled()
    said = status()
    said.providers[0].keys[1].enabled = False
    said.providers[0].keys[1].state = pb.Key.STATE_DISABLED
    live.on_status(rl.WatchStatusResponse(status=said, whole=True))
    shown = Shown(100, 30, live=live)
    shown.press("g", "p", "j", "j", "enter")
    choose(shown, "Enable")
    shown.press("j", "enter")
    assert shown.asked("Providers/SetKeyEnabled")[0].enabled
    assert "anthropic/team-a is enabled." in shown.lines()[-1]


def test_a_weight_is_checked_asked_and_set() -> None:
    shown = opened()
    shown.press("j", "j", "enter")
    choose(shown, "Weight")
    shown.press("backspace")
    shown.type("5000")
    assert any("A whole number from 0 to 1000" in line for line in shown.press("enter"))
    shown.press("backspace", "backspace")
    shown.press("enter")
    assert changed(shown) == []
    shown.press("j", "enter")
    request = shown.asked("Providers/SetWeight")[0]
    assert (request.provider, request.key, request.weight) == ("anthropic", "team-a", 50)


def test_a_probe_says_what_came() -> None:
    shown = opened()
    shown.press("enter")
    choose(shown, "Probe: connect")
    lines = shown.press("j", "enter")
    assert any("It works: connect, HTTP 200, claude-haiku-5-5, in 0.31 s." in x for x in lines)
    assert any("The key is accepted." in line for line in lines)


def test_a_refusal_is_said() -> None:
    """Whole, however long it is, and until it was read."""
    text = "It is the last provider that is enabled. " * 5 + "Enable another one first."
    shown = opened(Providers__SetEnabled=failing(text))
    shown.press("enter")
    choose(shown, "Disable")
    shown.press("j", "enter")
    shown.now_ms += 60_000
    assert "Enable another one first." in shown.text()
    assert "not done" in shown.text()
    assert "Enable another one first." not in "\n".join(shown.press("escape"))


def test_overrides_are_marked_and_counted() -> None:
    live = filled()
    said = status()
    said.providers[2].overrides.add(id="zai.enabled", setting="enabled", value="false")
    live.on_status(rl.WatchStatusResponse(status=said, whole=True))
    shown = Shown(100, 30, live=live)
    lines = shown.press("g", "p")
    assert lines[1].endswith("* 1 override: ccrelay overrides")
    assert any("zai*" in line for line in lines)


def test_the_commands_that_are_shown_exist() -> None:
    for words in ("keys disable", "keys clear-cooldown", "keys weight", "providers probe"):
        group = cli.get_command(None, words.split()[0])  # type: ignore[arg-type]
        assert words.split()[1] in group.commands  # type: ignore[union-attr]
    assert told()
