"""The page Providers: what it switches is switched in the relay, and what that refuses is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.v1 import providers_pb2 as pb, relay_pb2 as rl
from tests.browser.design_pages import PagesDesign
from tests.browser.door import Door
from tests.browser.pages_rig import HOSTILE, door_to, is_wider_than_screen, violations
from tests.browser.relay import RealRelay, until


@pytest.fixture
def pages() -> PagesDesign:
    """What the fake relay says."""
    return PagesDesign()


@pytest.fixture
def fake(tmp_path: Path, pages: PagesDesign) -> Iterator[Door]:
    """A door to the relay of the design."""
    with door_to(tmp_path, pages) as door:
        yield door


def providers(relay: RealRelay) -> dict[str, pb.Provider]:
    """What the API says, by name."""
    answer = relay.call("Providers/List", pb.ProvidersListRequest(), pb.ProvidersListResponse)
    return {one.name: one for one in answer.providers}


def key(relay: RealRelay, provider: str, name: str) -> pb.Key:
    found: pb.Key = next(one for one in providers(relay)[provider].keys if one.name == name)
    return found


def overrides(relay: RealRelay) -> list[str]:
    answer = relay.call(
        "Providers/ListOverrides", pb.ListOverridesRequest(), pb.ListOverridesResponse
    )
    return [one.id for one in answer.overrides]


def row(page: Any, target: str) -> Any:
    """The row of a key."""
    return page.locator(f"tr[id='p-{target}']")


def opened(page: Any, target: str) -> Any:
    """The rows of a key, with its details open."""
    button = row(page, target).locator(".pv-key")
    if button.get_attribute("aria-expanded") == "false":
        button.click()
    return page.locator(f"tbody:has(tr[id='p-{target}'])")


def test_it_shows_what_the_api_says(relay: RealRelay, door: Door, tabs: Any) -> None:
    page = tabs(door).open("#/providers")
    page.wait_for_selector("table.fix")
    assert page.locator("h1").inner_text() == "2 providers, 3 keys: 3 idle"
    said = providers(relay)
    assert [one.get_attribute("id") for one in page.locator("section[id^='p-']").all()] == [
        f"p-{name}" for name in said
    ]
    for name, provider in said.items():
        for one in provider.keys:
            text = row(page, f"{name}/{one.name}").inner_text()
            assert one.fingerprint in text
            assert "idle" in text
    assert relay.ask() == 200
    heads = page.locator("section[id^='p-'] > header")
    until(lambda: "1 exchange today" in " ".join(heads.all_inner_texts()), "it stands still")
    today = {n: sum(k.today.exchanges for k in one.keys) for n, one in providers(relay).items()}
    for name, number in today.items():
        head = page.locator(f"section#p-{name} > header").inner_text()
        assert f"{number} exchange" in head


def test_a_key_is_disabled_and_enabled(relay: RealRelay, door: Door, tabs: Any) -> None:
    page = tabs(door).open("#/providers")
    page.click("button[aria-label='Disable main/team-a']")
    page.wait_for_selector("dialog[open] >> text=Disable main/team-a?")
    page.click("dialog[open] >> text=Leave it")
    assert key(relay, "main", "team-a").enabled
    page.click("button[aria-label='Disable main/team-a']")
    page.click("dialog[open] button.primary")
    until(lambda: "disabled" in row(page, "main/team-a").inner_text(), "no change on the page")
    assert not key(relay, "main", "team-a").enabled
    assert overrides(relay) == ["main/team-a.enabled"]
    page.wait_for_selector("td:has-text('main/team-a.enabled')")
    page.click("button[aria-label='Enable main/team-a']")
    until(lambda: "idle" in row(page, "main/team-a").inner_text(), "it stays off")
    assert key(relay, "main", "team-a").enabled


def test_an_override_is_written_to_the_file_or_dropped(
    relay: RealRelay, door: Door, tabs: Any
) -> None:
    page = tabs(door).open("#/providers")
    page.wait_for_selector("table.fix")
    rows = opened(page, "main/team-b")
    rows.locator(".pv-weight input").fill("7")
    rows.locator("button:text('Set')").click()
    until(lambda: key(relay, "main", "team-b").weight == 7, "the relay has another weight")
    before = relay.config.read_text()
    page.click("button[aria-label='Drop main/team-b.weight']")
    until(lambda: key(relay, "main", "team-b").weight == 1, "the override holds")
    page.wait_for_selector("text=Nothing: all is as the file says.")
    assert relay.config.read_text() == before
    page.click("button[aria-label='Disable main/team-b']")
    page.click("dialog[open] button.primary")
    page.wait_for_selector("td:has-text('main/team-b.enabled')")
    page.click("text=Write all to the file")
    page.wait_for_selector("text=/Written to .*: number 2 is in force|by hand/")
    until(lambda: "enabled" in relay.config.read_text(), "the file is as it was")
    assert overrides(relay) == []
    assert not key(relay, "main", "team-b").enabled


def test_what_the_relay_refuses_is_told_where_it_was_asked(
    relay: RealRelay, door: Door, tabs: Any
) -> None:
    page = tabs(door).open("#/providers")
    page.click("button[aria-label='Disable spare']")
    page.click("dialog[open] button.primary")
    page.wait_for_selector("section#p-spare .tag:text('disabled')")
    assert not providers(relay)["spare"].enabled
    page.click("button[aria-label='Disable main']")
    assert "No other key can be used now" in page.locator("dialog[open]").inner_text()
    page.click("dialog[open] button.primary")
    note = page.locator("section#p-main .note.fail")
    note.wait_for()
    assert "last" in note.inner_text()
    assert providers(relay)["main"].enabled


def test_probes_say_what_came_and_what_it_cost(relay: RealRelay, door: Door, tabs: Any) -> None:
    page = tabs(door).open("#/providers")
    page.wait_for_selector("table.fix")
    rows = opened(page, "main/team-a")
    rows.locator("text=Count tokens, free").click()
    rows.locator(".note.info:has-text('count tokens, HTTP 200')").wait_for()
    rows.locator("text=One token, billed").click()
    rows.locator(".note.fail:has-text('No model of main is known by name')").wait_for()
    rows.locator(".pv-model input").fill("claude-haiku-4-5")
    rows.locator("text=One token, billed").click()
    rows.locator(".note.info:has-text('message, HTTP 200, claude-haiku-4-5')").wait_for()
    assert "cost <$0.0001" in rows.locator(".note.info").inner_text()
    rows.locator("button:text('Connect')").click()
    rows.locator(".note.info:has-text('connect')").wait_for()


def test_a_cooldown_counts_down_and_is_cleared(relay: RealRelay, door: Door, tabs: Any) -> None:
    page = tabs(door).open("#/providers")
    page.wait_for_selector("table.fix")
    relay.ask(fault="429,retry_after=90")
    resting = until(
        lambda: [
            f"{name}/{one.name}"
            for name, provider in providers(relay).items()
            for one in provider.keys
            if one.state == pb.Key.STATE_COOLDOWN
        ],
        "no key rests",
    )
    target = resting[0]
    until(lambda: "cooldown 1:" in row(page, target).inner_text().replace("\n", " "), "not told")
    page.wait_for_selector("h1:has-text('in cooldown')")
    rows = opened(page, target)
    rows.locator("text=Clear the cooldown").click()
    rows.locator("text=1 cooldown ended.").wait_for()
    provider, _, name = target.partition("/")
    assert key(relay, provider, name).cooldown_until_ms == 0


def test_the_relay_goes_and_comes_back(relay: RealRelay, door: Door, tabs: Any) -> None:
    page = tabs(door).open("#/providers")
    page.wait_for_selector("table.fix")
    relay.kill()
    page.wait_for_selector(".banner.lost")
    assert page.locator("table.fix").count() == 2  # the last figures stay
    relay.start()
    page.wait_for_selector(".banner.lost", state="detached")


def test_read_only_changes_nothing(fake: Door, pages: PagesDesign, tabs: Any) -> None:
    fake.read_only = True
    page = tabs(fake).open("#/providers")
    page.wait_for_selector("table.fix")
    for button in page.locator("main button.act").all():
        assert button.get_attribute("aria-disabled") == "true"
    page.locator("button[aria-label='Disable anthropic']").click(force=True)
    page.locator("button[aria-label='Test anthropic/login']").click(force=True)
    assert page.locator("dialog[open]").count() == 0
    assert pages.asked == []


def test_keys_move_and_open(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/providers")
    page.wait_for_selector("table.fix")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.innerText") == "team-a"
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.innerText") == "login"
    page.keyboard.press("Enter")
    page.wait_for_selector("text=/runs out .*, 25 h early/")
    page.keyboard.press("y")
    page.wait_for_selector(".said >> text=Copied: ccrelay keys")


def test_what_was_not_done_for_want_of_a_relay_is_told(
    fake: Door, pages: PagesDesign, tabs: Any
) -> None:
    page = tabs(fake).open("#/providers")
    page.click("button[aria-label='Disable anthropic/team-a']")
    fake.cut()
    page.click("dialog[open] button.primary")
    page.locator(".note.fail:has-text('The relay does not answer.')").wait_for()
    assert pages.asked == []


def test_breakers_and_windows_are_told(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/providers/anthropic%2Flogin")
    page.wait_for_selector("table.fix")
    assert page.locator("h1").inner_text() == (
        "3 providers, 5 keys: 3 in use, 1 idle, 1 in cooldown"
    )
    assert "next probe in" in page.locator("section#p-bedrock").inner_text()
    assert "half-open" in page.locator("section#p-zai").inner_text()
    details = opened(page, "anthropic/login").inner_text()
    assert "lasts, 88 % by the reset" in details


def test_without_a_state_it_says_so(fake: Door, tabs: Any) -> None:
    fake.errors["Relay/WatchStatus"] = (13, "the state is damaged")
    page = tabs(fake).open("#/providers")
    page.wait_for_selector("text=The providers could not be read")
    assert "the state is damaged" in page.locator(".blank").inner_text()
    fake.errors.clear()  # it is back by itself
    page.wait_for_selector("table.fix")


def test_a_key_of_the_address_is_open_and_closes(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/providers/zai%2Fplan")
    page.wait_for_selector(".pv-details")
    row(page, "zai/plan").locator(".pv-key").click()
    page.wait_for_selector(".pv-details", state="detached")


def test_hostile_names_are_texts(tmp_path: Path, pages: PagesDesign, tabs: Any) -> None:
    async def watch(request: Any, context: Any) -> Any:
        said = pages.status()
        said.providers[0].name = said.providers[0].keys[0].name = HOSTILE
        said.providers[0].base_url = f"https://{HOSTILE}"
        said.providers[0].models.append(HOSTILE)
        said.providers[0].keys[0].cooldown_reason = HOSTILE
        yield rl.WatchStatusResponse(status=said, whole=True)

    with door_to(tmp_path, pages, {"Relay/WatchStatus": watch}) as door:
        page = tabs(door).open("#/providers")
        page.wait_for_selector("table.fix")
        page.locator(".pv-key").first.click()
        page.wait_for_selector(".pv-details")
        assert page.locator("main b:text('bold')").count() == 0
        assert page.locator(".pv-key").first.inner_text() == HOSTILE
        assert is_wider_than_screen(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(fake: Door, tabs: Any, scheme: str) -> None:
    page = tabs(fake, color_scheme=scheme).open("#/providers")
    page.wait_for_selector("table.fix")
    opened(page, "anthropic/login")
    page.click("button[aria-label='Test anthropic/team-a']")
    page.wait_for_selector(".note.info")
    assert violations(page) == []
