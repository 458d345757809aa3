"""The page Routing: Explain says what the API says, on the live state."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.v1 import providers_pb2 as pb, routing_pb2 as ro
from tests.browser.design_pages import PagesDesign
from tests.browser.door import Door
from tests.browser.pages_rig import HOSTILE, door_to, is_wider_than_screen, violations
from tests.browser.relay import RealRelay, real_relay, until

RULES = {
    "strategy": "failover",
    "rules": [
        {"name": "titles", "when": {"request_class": ["background"]},
         "use": {"providers": ["spare"]}},
        {"name": "tagged", "when": {"headers": {"x-team": "blue"}}, "use": {"providers": ["main"]}},
    ],
}  # fmt: skip


@pytest.fixture
def pages() -> PagesDesign:
    """What the fake relay says."""
    return PagesDesign()


@pytest.fixture
def fake(tmp_path: Path, pages: PagesDesign) -> Iterator[Door]:
    """A door to the relay of the design."""
    with door_to(tmp_path, pages) as door:
        yield door


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[RealRelay]:
    """A real relay with rules."""
    with real_relay(tmp_path, routing=RULES) as running:
        yield running


@pytest.fixture
def ruled_door(ruled: RealRelay) -> RealRelay:
    """Its door."""
    return ruled


def explained(relay: RealRelay, **members: Any) -> ro.ExplainResponse:
    answer: ro.ExplainResponse = relay.call(
        "Routing/Explain", ro.ExplainRequest(**members), ro.ExplainResponse
    )
    return answer


def candidates(page: Any) -> list[str]:
    """Targets in the order of the page."""
    rows = page.locator("ul[aria-label^=Candidates] > li").all()
    return [row.locator(".tgt").inner_text().replace("\n", "")[1:] for row in rows]


def test_it_explains_what_the_api_explains(ruled: RealRelay, ruled_door: Door, tabs: Any) -> None:
    page = tabs(ruled_door).open("#/routing")
    page.wait_for_selector("#x-model")
    page.fill("#x-model", "claude-opus-4-5")
    page.fill("#x-tokens", "184k")
    page.fill("#x-headers", "X-Team: blue")
    said = explained(ruled, model="claude-opus-4-5", tokens=184_000, headers={"x-team": "blue"})
    page.wait_for_selector(f".note.info b:has-text('{said.target}')")
    expected = [one.target for one in said.candidates]
    expected += [f"{one.provider}/any key" for one in said.ineligible]
    until(lambda: candidates(page) == expected, "other candidates")
    note = page.locator(".note.info").inner_text()
    assert "Rule tagged" in note
    assert said.choice.sentence.rstrip(".").lower() in note.lower()
    steps = page.locator(".flow > li").all_inner_texts()
    assert "tagged" in steps[1]
    assert "failover" in steps[3]
    assert said.target in steps[4]
    ineligible = page.locator("ul[aria-label^=Candidates]").inner_text()
    for one in said.ineligible:
        assert one.reasons[0] in ineligible
    missed = page.locator("ul[aria-label='Rules that do not match']").inner_text()
    assert "titles" in missed
    assert "request_class" in missed


def test_it_follows_the_live_state(ruled: RealRelay, ruled_door: Door, tabs: Any) -> None:
    page = tabs(ruled_door).open("#/routing?model=claude-opus-4-5")
    page.wait_for_selector(".note.info b:has-text('spare/plan')")
    ruled.call(
        "Providers/SetEnabled",
        pb.SetEnabledRequest(provider="spare", enabled=False),
        pb.SetEnabledResponse,
    )
    page.wait_for_selector(".note.info b:has-text('main/')")
    assert "spare" in page.locator("ul[aria-label^=Candidates]").inner_text()


def test_the_command_asks_the_same(fake: Door, pages: PagesDesign, tabs: Any) -> None:
    page = tabs(fake).open("#/routing")
    page.wait_for_selector("#x-model")
    page.fill("#x-model", "claude-opus-5-5")
    page.select_option("#x-class", "subagent")
    page.fill("#x-tokens", "184,000")
    page.fill("#x-session", "3f8c41aa")
    page.check(".rt-has input")
    page.select_option(".rt-has label:has-text('tools') select", "no")
    page.fill("#x-headers", "x-project: it's payments")
    page.locator("#x-headers").blur()
    expected = [
        *("ccrelay", "route", "explain", "--model", "claude-opus-5-5", "--class", "subagent"),
        *("--tokens", "184000", "--images", "--no-tools", "--header", "x-project: it's payments"),
        *("--session", "3f8c41aa"),
    ]
    until(lambda: shlex.split(page.locator(".cmd > span").inner_text()) == expected, "no command")
    page.keyboard.press("y")
    page.wait_for_selector(".said span")
    assert shlex.split(page.evaluate("navigator.clipboard.readText()")) == expected
    last = until(lambda: pages.asked and pages.asked[-1], "nothing was asked")
    until(lambda: pages.asked[-1].session == "3f8c41aa", "an older request")
    last = pages.asked[-1]
    assert (last.model, last.traffic_class, last.tokens) == ("claude-opus-5-5", "subagent", 184_000)
    assert (last.images, last.HasField("thinking"), last.tools) == (True, False, False)
    assert dict(last.headers) == {"x-project": "it's payments"}
    # The address has the whole form: it can be kept and sent.
    url = page.url
    page.goto("about:blank")
    page.goto(url)
    page.wait_for_selector(".cmd > span")
    assert shlex.split(page.locator(".cmd > span").inner_text()) == expected


def test_rules_tell_how_often_they_matched(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/routing")
    page.wait_for_selector(".rule")
    rules = page.locator(".rule").all_inner_texts()
    assert len(rules) == 5
    assert rules[2].startswith("3")
    assert "team-projects" in rules[2]
    assert "121 today" in rules[2]
    assert "184 today" in rules[4]
    assert "234 matched, 184 did not" in page.locator(".flow").inner_text()
    assert page.locator("h1").inner_text() == "Failover by priority, 4 rules before it"


def test_the_next_turn_of_a_conversation_is_explained(
    fake: Door, pages: PagesDesign, tabs: Any
) -> None:
    page = tabs(fake).open("#/routing")
    page.click("button[aria-label='Explain the next turn of handbook']")
    until(lambda: pages.asked and pages.asked[-1].session == "b20e7712-55c1", "another session")
    assert page.input_value("#x-session") == "b20e7712-55c1"


def test_a_mistake_in_the_form_is_told(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/routing?model=claude-opus-5-5")
    page.fill("#x-tokens", "many")
    page.wait_for_selector(".note.fail:has-text('Input tokens are a number')")
    page.fill("#x-tokens", "")
    page.fill("#x-headers", "no colon")
    page.wait_for_selector(".note.fail:has-text('is not `name: value`')")


def test_errors_of_the_relay_are_told(fake: Door, tabs: Any) -> None:
    fake.errors["Routing/Explain"] = (3, "the model has a blank")
    fake.errors["Routing/ListRules"] = (12, "not implemented")
    page = tabs(fake).open("#/routing?model=a%20b")
    page.wait_for_selector(".note.fail:has-text('the model has a blank')")
    page.wait_for_selector("text=This relay does not tell how often rules match.")


def test_without_a_state_it_says_so(fake: Door, tabs: Any) -> None:
    fake.errors["Relay/WatchStatus"] = (13, "the state is damaged")
    page = tabs(fake).open("#/routing")
    page.wait_for_selector("text=The routing could not be read")
    fake.errors.clear()  # it is back by itself
    page.wait_for_selector(".rule")


def test_hostile_names_are_texts(tmp_path: Path, pages: PagesDesign, tabs: Any) -> None:
    async def rules(request: Any, context: Any) -> Any:
        info = ro.RuleInfo(name=HOSTILE, when=[HOSTILE], use=[HOSTILE], matched=3)
        return ro.ListRulesResponse(rules=[info], unmatched=1)

    async def explain(request: Any, context: Any) -> Any:
        return ro.ExplainResponse(
            target=f"{HOSTILE}/{HOSTILE}",
            candidates=[ro.Candidate(target=f"{HOSTILE}/{HOSTILE}", available=True)],
            ineligible=[ro.Ineligible(provider=HOSTILE, reasons=[HOSTILE])],
            rules_missed=[ro.RuleMiss(rule=HOSTILE, unmet=[HOSTILE])],
        )

    others = {"Routing/ListRules": rules, "Routing/Explain": explain}
    with door_to(tmp_path, pages, others) as door:
        page = tabs(door).open("#/routing?model=x")
        page.wait_for_selector("ul[aria-label^=Candidates] li")
        page.wait_for_selector(".rule")
        assert page.locator("main b:text-is('bold')").count() == 0
        assert page.locator(".rule b").first.inner_text() == HOSTILE
        assert is_wider_than_screen(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(fake: Door, tabs: Any, scheme: str) -> None:
    page = tabs(fake, color_scheme=scheme).open("#/routing")
    page.wait_for_selector("ul[aria-label^=Candidates] li")
    page.wait_for_selector(".rule")
    assert violations(page) == []
