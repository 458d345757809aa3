from ccrelay.v1 import routing_pb2 as ro
from tests.unit.tui.design import Shown, failing


def opened(width: int = 100, height: int = 30, **answers: object) -> Shown:
    shown = Shown(width, height, **answers)
    shown.press("g", "r")
    return shown


def test_rules_are_shown_with_how_often_they_matched() -> None:
    lines = opened().lines()
    assert lines[1].startswith(" 4 rules, then strategy failover.")
    assert lines[3].split()[:5] == ["▌1", "titles", "297", "14:31:12", "$0.41"]
    assert any(line.split()[:3] == ["no", "rule", "2,400"] for line in lines)
    assert any("use   providers: [zai]" in line for line in lines)


def test_the_selected_rule_is_spelled_out() -> None:
    shown = opened()
    assert any("when  min_tokens: 200000" in line for line in shown.press("j"))
    assert any("the strategy alone chose" in line for line in shown.press("j"))


def test_the_range_of_the_counts_is_chosen() -> None:
    shown = opened()
    shown.press("]", "]")
    assert shown.asked("Routing/ListRules")[-1].since_ms == 0
    assert "as far as the ledger goes" in shown.lines()[1]
    shown.press("[", "[", "[", "[", "[")
    assert "the last 24 hours" in shown.lines()[1]


def test_a_request_is_explained() -> None:
    shown = opened()
    shown.press("enter")
    for _ in range(30):
        shown.press("backspace")
    shown.type("claude-opus-5-5")
    shown.press("tab", "right", "tab")
    shown.type("150,000")
    lines = shown.press("enter")
    request = shown.asked("Routing/Explain")[0]
    assert (request.model, request.traffic_class, request.tokens) == (
        "claude-opus-5-5", "main", 150_000,
    )  # fmt: skip
    assert lines[1].startswith(" claude-opus-5-5 would go to anthropic/team-a.")
    assert any("cooldown 0:47" in line for line in lines)
    shown.press("y")
    assert shown.copied == [
        "ccrelay route explain --model claude-opus-5-5 --class main --tokens 150000"
    ]
    assert shown.press("escape")[1].startswith(" 4 rules")


def test_a_form_that_is_wrong_is_not_sent() -> None:
    shown = opened()
    shown.press("enter", "tab", "tab")
    shown.type("many")
    assert any("Tokens are a whole number" in line for line in shown.press("enter"))
    shown.press("tab", "tab", "ctrl+u")
    assert any("A model is needed." in line for line in shown.press("enter"))
    assert shown.asked("Routing/Explain") == []


def test_a_request_that_can_go_nowhere() -> None:
    shown = opened(Routing__Explain=ro.ExplainResponse())
    lines = shown.press("enter", "enter")
    assert lines[1].startswith(" claude-sonnet-5-5 could go nowhere now.")
    shown = opened(Routing__Explain=ro.ExplainResponse(waits_ms=3_400))
    lines = shown.press("enter", "enter")
    assert lines[1].startswith(" claude-sonnet-5-5 would wait in the queue now.")


def test_failures_are_said() -> None:
    assert "upgrade it" in opened(Routing__ListRules=failing("x", "UNIMPLEMENTED")).text()
    shown = opened(Routing__Explain=failing("No provider serves it."))
    assert any("No provider serves it." in line for line in shown.press("enter", "enter"))


def test_no_rule() -> None:
    assert (
        "No rule: every request goes by the strategy."
        in opened(Routing__ListRules=ro.ListRulesResponse()).text()
    )
