"""The page First run: what is found is used as it is; a key is sent, written, and forgotten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl, setup_pb2 as su
from tests.browser.design_pages import PagesDesign
from tests.browser.door import Door
from tests.browser.pages_rig import HOSTILE, door_to, is_wider_than_screen, violations
from tests.browser.relay import until

KEY = "test-key-of-a-newcomer"


@pytest.fixture
def pages() -> PagesDesign:
    """What the fake relay says."""
    return PagesDesign()


@pytest.fixture
def fake(tmp_path: Path, pages: PagesDesign) -> Iterator[Door]:
    """A door to the relay of the design."""
    with door_to(tmp_path, pages) as door:
        yield door


def last(pages: PagesDesign, kind: Any) -> Any:
    """The last request of a kind."""
    return until(
        lambda: next((r for r in reversed(pages.asked) if isinstance(r, kind)), None), kind
    )


def is_in_page(page: Any, text: str) -> bool:
    """Whether a text is anywhere in the page: elements, fields, storage, address."""
    return bool(
        page.evaluate(
            """(text) => [document.documentElement.outerHTML, location.href,
                JSON.stringify({...localStorage, ...sessionStorage}),
                ...[...document.querySelectorAll('input, textarea')].map((one) => one.value),
            ].some((one) => one.includes(text))""",
            text,
        )
    )


def test_what_is_found_is_used_as_it_is(fake: Door, pages: PagesDesign, tabs: Any) -> None:
    page = tabs(fake).open("#/setup")
    page.wait_for_selector("table.su-found")
    boxes = page.locator("table.su-found input[type=checkbox]")
    assert [one.is_checked() for one in boxes.all()] == [True, False, False]
    assert boxes.nth(2).is_disabled()  # a local server without a model
    boxes.nth(1).check()
    page.select_option(".steps select", label="zai, ZAI_API_KEY")
    page.click("text=See the file first")
    page.wait_for_selector(".ed-read >> text=zai")
    shown = last(pages, su.WriteRequest)
    assert shown.dry_run
    zai, login = shown.providers
    assert (zai.type, zai.variable, zai.key) == ("zai", "ZAI_API_KEY", "")
    assert zai.store == su.KEY_STORE_ENVIRONMENT
    assert (login.type, login.pass_through, login.variable) == ("anthropic", True, "")
    assert page.locator("text=The file is written").count() == 0
    page.click("text=Write the file")
    page.wait_for_selector("text=The file is written")
    assert not last(pages, su.WriteRequest).dry_run
    assert "config.yaml, mode 0600" in page.locator(".su-written").inner_text()
    assert page.locator(".cmd > span").first.inner_text() == "ccrelay claude"


class Unused(PagesDesign):
    """A relay without a file that has not answered anything."""

    def __init__(self) -> None:
        super().__init__()
        self.exchanges = []

    def status(self) -> rl.Status:
        said = super().status()
        said.ClearField("today")
        said.config_file = ""
        return said

    def running(self) -> list[ex.Running]:
        return []


def test_the_first_page_leads_here_where_there_is_no_file(tmp_path: Path, tabs: Any) -> None:
    with door_to(tmp_path, Unused()) as door:
        page = tabs(door).open("#/now")
        page.wait_for_selector("text=There is no configuration file")
        page.click(".blank >> text=set up providers and keys")
        page.wait_for_selector("text=No configuration is there yet. It will be written to")
        page.wait_for_selector("table.su-found")
        page.click("text=Write the file")
        page.wait_for_selector("text=It is written to")
        assert page.locator("text=No configuration is there yet").count() == 0
        assert page.locator(".cmd >> text=ccrelay env").inner_text() == 'eval "$(ccrelay env)"'


def test_a_key_is_checked_written_and_forgotten(fake: Door, pages: PagesDesign, tabs: Any) -> None:
    page = tabs(fake).open("#/setup")
    page.click("text=Another provider")
    field = page.locator("#card-1-key")
    assert field.get_attribute("type") == "password"
    assert field.get_attribute("autocomplete") == "off"
    page.select_option("#card-1-type", "zai")
    field.fill("wrong")
    page.click("text=Check, free")
    page.wait_for_selector(".su-check.fail >> text=The key is refused (401)")
    field.fill(KEY)
    page.click("text=Check, free")
    page.wait_for_selector(".su-check.ok >> text=It answers.")
    checked = last(pages, su.CheckRequest)
    assert (checked.provider.type, checked.provider.key, checked.model) == ("zai", KEY, "")
    page.wait_for_selector("text=Models: claude-opus-5-5, claude-haiku-5-5.")
    page.click("text=Ask claude-opus-5-5 for one token, billed")
    page.wait_for_selector(".su-check.ok >> text=cost $0.0001")
    assert last(pages, su.CheckRequest).model == "claude-opus-5-5"
    assert page.locator("main input[type=radio]").first.is_disabled()  # no keychain here
    assert "no keychain answers on this machine" in page.locator(".su-why").inner_text()
    page.fill("#card-1-model", "glm-5.3")
    page.click("text=Write the file")
    page.wait_for_selector("text=The file is written")
    written = last(pages, su.WriteRequest)
    card = written.providers[1]
    assert (card.type, card.key, card.store) == ("zai", KEY, su.KEY_STORE_FILE)
    assert dict(card.settings) == {"model": "glm-5.3"}
    assert not is_in_page(page, KEY)
    page.click(".tabs a:text-is('Now')")
    page.go_back()
    page.wait_for_selector("table.su-found")
    assert not is_in_page(page, KEY)


def test_a_key_that_is_not_proven_is_no_failure(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/setup")
    page.click("text=Another provider")
    page.select_option("#card-1-type", "zai")
    page.fill("#card-1-key", "untried")
    page.click("text=Check, free")
    page.wait_for_selector(".su-check.warn[role=status] >> text=Not proven yet: It answers;")
    assert page.locator(".su-check.fail").count() == 0
    page.click("text=Ask claude-opus-5-5 for one token, billed")
    page.wait_for_selector(".su-check.ok >> text=It answers.")


def test_what_was_said_of_another_key_does_not_stay(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/setup")
    page.click("text=Another provider")
    page.fill("#card-1-key", KEY)
    page.click("text=Check, free")
    page.wait_for_selector(".su-check.ok")
    page.fill("#card-1-key", "wrong")
    page.wait_for_selector(".su-check", state="detached")
    # An answer that comes after the change is of what was there before, too.
    fake.only = "Setup/Write"
    page.click("text=Check, free")
    page.wait_for_selector(".state >> text=asking")
    page.select_option("#card-1-type", "kimi")
    with page.expect_response("**/ccrelay.v1.Setup/Check"):
        fake.only = ""
    page.click("text=See the file first")
    page.wait_for_selector(".ed-read")
    assert page.locator(".su-check").count() == 0


def test_a_cloud_is_told_what_it_needs(fake: Door, pages: PagesDesign, tabs: Any) -> None:
    page = tabs(fake).open("#/setup")
    page.click("text=Another provider")
    page.select_option("#card-1-type", "bedrock")
    assert page.locator("#card-1-key").count() == 0
    page.fill("#card-1-region", "eu-central-1")
    page.locator("table.su-found input").first.uncheck()
    page.click("text=See the file first")
    asked = last(pages, su.WriteRequest)
    assert len(asked.providers) == 1
    assert asked.providers[0].type == "bedrock"
    assert dict(asked.providers[0].settings) == {"region": "eu-central-1"}


def test_nothing_found_asks_for_a_key_at_once(
    tmp_path: Path, pages: PagesDesign, tabs: Any
) -> None:
    async def nothing(request: Any, context: Any) -> Any:
        return su.DetectResponse(file="/srv/dev/c.yaml", keychain=True, command="ccrelay claude")

    with door_to(tmp_path, pages, {"Setup/Detect": nothing}) as door:
        page = tabs(door).open("#/setup")
        page.wait_for_selector("#card-1-key")
        assert page.locator("main input[type=radio]").first.is_checked()  # the keychain
        page.click("text=Remove")
        assert page.locator("button:text-is('Write the file')").get_attribute("aria-disabled") == (
            "true"
        )


def test_what_the_relay_refuses_is_told_and_the_key_stays(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/setup")
    page.click("text=Another provider")
    page.fill("#card-1-key", KEY)
    fake.errors["Setup/Write"] = (9, "There is a configuration already: c.yaml.")
    page.click("text=Write the file")
    page.wait_for_selector(".note.fail >> text=There is a configuration already")
    assert page.input_value("#card-1-key") == KEY


def test_a_configuration_that_is_there_is_left_alone(
    fake: Door, pages: PagesDesign, tabs: Any
) -> None:
    pages.has_config = True
    page = tabs(fake).open("#/setup")
    page.wait_for_selector("text=There is a configuration already")
    assert page.locator("button:text-is('Write the file')").count() == 0
    page.click("text=Look at it, or change it")
    page.wait_for_selector(".ed-area")


def test_read_only_writes_nothing(fake: Door, pages: PagesDesign, tabs: Any) -> None:
    fake.read_only = True
    page = tabs(fake).open("#/setup")
    page.wait_for_selector("table.su-found")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("button:text-is('Write the file')").click(force=True)
    page.locator("text=See the file first").click(force=True)
    page.evaluate("fetch('session').then(answer => answer.status)")  # the last one asked
    assert [url for url in asked if "/ccrelay.v1.Setup/" in url] == []
    assert pages.asked == []


def test_an_error_is_told(fake: Door, tabs: Any) -> None:
    fake.errors["Setup/Detect"] = (13, "HOME is not set")
    page = tabs(fake).open("#/setup")
    page.wait_for_selector("text=What is here could not be found out")
    fake.errors.clear()
    page.click("text=Try again")
    page.wait_for_selector("table.su-found")


def test_hostile_names_are_texts(tmp_path: Path, pages: PagesDesign, tabs: Any) -> None:
    async def hostile(request: Any, context: Any) -> Any:
        one = su.Found(type=HOSTILE, name=HOSTILE, source=HOSTILE, note=HOSTILE, models=[HOSTILE])
        return su.DetectResponse(found=[one], file=HOSTILE, keychain_problem=HOSTILE, command="x")

    with door_to(tmp_path, pages, {"Setup/Detect": hostile}) as door:
        page = tabs(door).open("#/setup")
        page.wait_for_selector("table.su-found")
        assert page.locator("main b:text-is('bold')").count() == 0
        assert is_wider_than_screen(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(fake: Door, tabs: Any, scheme: str) -> None:
    page = tabs(fake, color_scheme=scheme).open("#/setup")
    page.click("text=Another provider")
    page.wait_for_selector("#card-1-key")
    page.click("text=Check, free")
    page.wait_for_selector(".su-check")
    page.click("text=See the file first")
    page.wait_for_selector(".ed-read")
    assert violations(page) == []
