"""The page Config: mistakes stand at their line, changes reach the relay, secrets survive them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.v1 import config_pb2 as cf, relay_pb2 as rl
from tests.browser.design_pages import PagesDesign
from tests.browser.door import Door
from tests.browser.pages_rig import HOSTILE, door_to, is_wider_than_screen, violations
from tests.browser.relay import RealRelay, real_relay, until

SECRET = "test-key-in-the-file"


@pytest.fixture
def pages() -> PagesDesign:
    """What the fake relay says."""
    return PagesDesign()


@pytest.fixture
def fake(tmp_path: Path, pages: PagesDesign) -> Iterator[Door]:
    """A door to the relay of the design."""
    with door_to(tmp_path, pages) as door:
        yield door


def text_of(relay: RealRelay) -> str:
    """A file of several lines, with a secret in it."""
    return f"""\
# A file for tests.
server:
  listen: 127.0.0.1:{relay.port}
  workers: 1
management:
  listen: 127.0.0.1:{relay.management_port}
providers:
  - name: main
    type: anthropic
    base_url: http://127.0.0.1:{relay.mock_port}
    priority: 5
    keys:
      - {{name: team-a, key: {SECRET}}}   # stays
logging: {{level: info, format: json, file: {relay.folder}/log}}
"""


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[RealRelay]:
    """A real relay whose file has several lines: its second revision."""
    with real_relay(tmp_path) as running:
        running.config.write_text(text_of(running))
        until(lambda: got(running).revision == 2, "the file is not read again")
        yield running


@pytest.fixture
def filed_door(filed: RealRelay) -> RealRelay:
    """Its door."""
    return filed


def got(relay: RealRelay, revision: int = 0) -> cf.ConfigGetResponse:
    answer: cf.ConfigGetResponse = relay.call(
        "Config/Get", cf.ConfigGetRequest(revision=revision), cf.ConfigGetResponse
    )
    return answer


def value(page: Any) -> str:
    text: str = page.locator(".ed-area").input_value()
    return text


def edit(page: Any, old: str, new: str) -> None:
    """Replace a piece of the text as a person does: by selecting it and typing."""
    page.wait_for_selector(".ed-area")
    at = value(page).index(old)
    page.locator(".ed-area").focus()
    page.evaluate(f"document.activeElement.setSelectionRange({at}, {at + len(old)})")
    page.keyboard.insert_text(new)


def no_mistake(page: Any) -> None:
    page.wait_for_selector("[data-check=q2], [data-check=warn]")


def test_it_shows_file_and_effective_text_without_secrets(
    filed: RealRelay, filed_door: Door, tabs: Any
) -> None:
    page = tabs(filed_door).open("#/config")
    page.wait_for_selector(".ed-area")
    said = got(filed)
    assert value(page) == said.text
    assert SECRET not in page.content()
    assert SECRET not in value(page)
    assert page.locator("h1").inner_text() == "What the file says is in force: number 2"
    assert page.locator(".head p").inner_text().startswith(f"{filed.config}. Since ")
    seen = page.locator(".ed-seen > .ln").evaluate_all(
        "all => all.map(one => [...one.childNodes].filter(n => !n.classList?.contains('ed-msg'))"
        ".map(n => n.textContent).join('').replace('\\n', ''))"
    )
    assert seen == said.text.split("\n")  # the layer that is seen has the same letters
    page.click("nav.seg a:text-is('In force')")
    page.wait_for_selector(".ed-read")
    lines = page.locator(".ed-read .ln").all_inner_texts()
    assert [line.rstrip("\n") for line in lines] == said.effective.rstrip("\n").split("\n")


def test_a_mistake_shows_at_its_line_as_it_is_typed(
    filed: RealRelay, filed_door: Door, tabs: Any
) -> None:
    page = tabs(filed_door).open("#/config")
    edit(page, "priority: 5", "prioritty: 5")
    page.wait_for_selector(".ed-seen .ln.bad")
    line = text_of(filed).split("\n").index("    priority: 5")
    bad = page.locator(".ed-seen .ln")
    assert "bad" in bad.nth(line).get_attribute("class")
    assert 'did you mean "priority"' in bad.nth(line).inner_text()
    assert bad.nth(line).locator(".sq").inner_text() == "prioritty"
    answer = filed.call(
        "Config/Validate", cf.ValidateRequest(text=value(page)), cf.ValidateResponse
    )
    first = answer.problems[0]
    entry = page.locator(".ed-problems li").first.inner_text().replace("\n", " ")
    assert f"line {first.line}:{first.column}" in entry
    assert first.message in entry
    assert page.locator(".end [data-check=fail]").inner_text() == "1 mistake"
    page.locator(".ed-problems button").first.click()
    caret = "document.activeElement.selectionStart"
    until(lambda: value(page)[: page.evaluate(caret) or 0].count("\n") == line, "another line")
    assert filed.config.read_text() == text_of(filed)  # typing changes nothing
    page.click("text=Review and apply")
    page.wait_for_selector(".dv")
    assert page.locator("button:text-is('Apply')").is_disabled()


def test_a_change_is_applied_and_rolled_back_and_keeps_the_secret(
    filed: RealRelay, filed_door: Door, tabs: Any
) -> None:
    page = tabs(filed_door).open("#/config")
    edit(page, "priority: 5", "priority: 8")
    page.click("text=Review and apply")
    page.wait_for_selector(".dv-ln.add >> text=priority: 8")
    assert page.locator(".dv-ln.del").inner_text().split("\n")[0].endswith("priority: 5")
    page.wait_for_selector(".cf-changes >> text=priority")
    page.fill(".act input", "more of main")
    page.click("button:text-is('Apply')")
    page.wait_for_selector("h1:has-text('number 3')")
    written = filed.config.read_text()
    assert written == text_of(filed).replace("priority: 5", "priority: 8")
    assert SECRET in written
    page.wait_for_selector("td:has-text('more of main')")
    page.click("a[aria-label='Number 2, difference']")
    page.wait_for_selector(".dv-ln.add >> text=priority: 5")
    page.click("text=Roll back to number 2")
    page.wait_for_selector("h1:has-text('number 4')")
    assert filed.config.read_text() == text_of(filed)
    assert filed.ask() == 200


def test_a_file_keeps_the_ends_of_its_lines(filed: RealRelay, filed_door: Door, tabs: Any) -> None:
    text = text_of(filed).replace("\n", "\r\n").encode()
    filed.config.write_bytes(text)
    until(lambda: "\r\n" in got(filed).text, "the file is not read")
    page = tabs(filed_door).open("#/config")
    edit(page, "priority: 5", "priority: 8")
    no_mistake(page)
    page.click("text=Review and apply")
    page.locator(".dv-ln.add").first.wait_for()
    assert page.locator(".dv-ln.add").count() == 1
    page.click("button:text-is('Apply'):enabled")
    expected = text.replace(b"priority: 5", b"priority: 8")
    until(lambda: filed.config.read_bytes() == expected, "other bytes than those typed differ")


def test_a_file_that_changed_meanwhile_shows_both(
    filed: RealRelay, filed_door: Door, tabs: Any
) -> None:
    page = tabs(filed_door).open("#/config")
    edit(page, "priority: 5", "priority: 8")
    other = text_of(filed).replace("# A file for tests.", "# Another comment.\n# And one more.")
    filed.config.write_text(other)
    page.wait_for_selector("text=The file has changed while you edited it")
    both = page.locator(".cf-both .dv")
    assert "Another comment." in both.nth(0).inner_text()
    assert "priority: 8" in both.nth(1).inner_text()
    page.click("text=Keep my text")
    page.wait_for_selector(".cf-conflict", state="detached")
    no_mistake(page)
    page.click("text=Review and apply")
    page.wait_for_selector("button:text-is('Apply'):enabled")
    page.click("button:text-is('Apply')")
    until(lambda: "priority: 8" in filed.config.read_text(), "nothing is written")
    assert "Another comment." not in filed.config.read_text()


def test_aborted_is_told_and_nothing_is_lost(fake: Door, pages: PagesDesign, tabs: Any) -> None:
    page = tabs(fake).open("#/config")
    edit(page, "priority: 5", "priority: 8")
    page.click("text=Review and apply")
    page.wait_for_selector("button:text-is('Apply'):enabled")
    pages.file = pages.file.replace("# The relay of the team.", "# Of another team.")
    page.click("button:text-is('Apply')")
    page.wait_for_selector("text=Not applied: the file has changed meanwhile")
    page.wait_for_selector("text=The file has changed while you edited it")
    assert "priority: 8" not in pages.file
    page.click("text=Take the file, drop my change")
    page.goto(page.url.split("#")[0] + "#/config")
    page.wait_for_selector(".ed-area")
    assert value(page) == pages.file


def test_a_draft_survives_other_pages(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/config")
    edit(page, "priority: 5", "priority: 8")
    page.locator(".ed-area").blur()
    page.click(".tabs a:text-is('Providers')")
    page.wait_for_selector("table.fix")
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_selector("text=Not applied yet: 1 line added, 1 removed.")
    assert "priority: 8" in value(page)
    assert "priority: 8" not in page.evaluate(
        "JSON.stringify({...localStorage, ...sessionStorage})"
    )
    page.click("text=Discard")
    assert "priority: 8" not in value(page)


def test_a_file_with_a_mistake_stays_out_of_force(
    filed: RealRelay, filed_door: Door, tabs: Any
) -> None:
    page = tabs(filed_door).open("#/config")
    page.wait_for_selector(".ed-area")
    filed.config.write_text(text_of(filed).replace("priority: 5", "prioritty: 5"))
    page.wait_for_selector("h1:has-text('The file was not taken over; number 2 stays in force')")
    place = page.locator(".cf-mistake header b").inner_text()
    assert place == "ccrelay.yaml:11:5"
    assert "providers[0].prioritty: unknown key" in page.locator(".cf-mistake .msg").inner_text()
    assert page.locator(".cf-mistake .bad").inner_text().endswith("prioritty: 5")
    status = filed.call("Relay/GetStatus", rl.GetStatusRequest(), rl.GetStatusResponse).status
    assert status.reload_problem
    filed.config.write_text(text_of(filed))
    page.click("text=Read again")
    page.wait_for_selector(".cf-mistake", state="detached")


def test_keys_and_commands(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/config")
    page.wait_for_selector(".ed-area")
    page.keyboard.press("y")
    page.wait_for_selector(".said span")
    assert page.evaluate("navigator.clipboard.readText()") == (
        "ccrelay config check --config /srv/dev/.config/ccrelay/config.yaml"
    )
    page.locator(".ed-area").focus()
    page.keyboard.press("Control+End")
    page.keyboard.type("\n  # indented")
    page.keyboard.press("Enter")
    page.keyboard.type("# as well")
    assert value(page).endswith("\n  # indented\n  # as well")
    page.keyboard.press("Control+z")
    assert not value(page).endswith("as well")
    page.keyboard.press("Control+s")
    page.wait_for_url("**/#/config/diff")


def test_read_only_can_be_read_alone(fake: Door, pages: PagesDesign, tabs: Any) -> None:
    fake.read_only = True
    page = tabs(fake).open("#/config")
    page.wait_for_selector(".ed-area[readonly]")
    assert page.locator("text=Read again").is_disabled()
    page.goto(page.url.split("#")[0] + "#/config/13")
    page.wait_for_selector(".dv")
    assert page.locator("text=Roll back to number 13").is_disabled()
    assert pages.asked == []


def test_an_error_is_told(fake: Door, tabs: Any) -> None:
    fake.errors["Config/Get"] = (13, "the file is gone")
    page = tabs(fake).open("#/config")
    page.wait_for_selector("text=The configuration could not be read")
    fake.errors.clear()
    page.click("text=Try again")
    page.wait_for_selector(".ed-area")


def test_no_file_leads_to_the_first_run(tmp_path: Path, pages: PagesDesign, tabs: Any) -> None:
    async def none(request: Any, context: Any) -> Any:
        return cf.ConfigGetResponse(effective="server: {}\n")

    with door_to(tmp_path, pages, {"Config/Get": none}) as door:
        page = tabs(door).open("#/config")
        page.wait_for_selector("text=There is no configuration file")
        page.click("text=Write a file step by step")
        page.wait_for_url("**/#/setup")


def test_hostile_texts_are_texts(tmp_path: Path, pages: PagesDesign, tabs: Any) -> None:
    pages.file = f"# {HOSTILE}\nproviders: []\n</textarea></pre><b>bold</b>\n" + "a: " * 3000

    async def revisions(request: Any, context: Any) -> Any:
        rows = [cf.Revision(revision=14, comment=HOSTILE), cf.Revision(revision=13, origin=HOSTILE)]
        return cf.ListRevisionsResponse(revisions=rows)

    with door_to(tmp_path, pages, {"Config/ListRevisions": revisions}) as door:
        page = tabs(door).open("#/config")
        page.wait_for_selector(".ed-area")
        assert value(page) == pages.file
        assert page.locator("main b:text-is('bold')").count() == 0
        assert is_wider_than_screen(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(fake: Door, tabs: Any, scheme: str) -> None:
    page = tabs(fake, color_scheme=scheme).open("#/config")
    edit(page, "priority: 5", "prioritty: 5")
    page.wait_for_selector(".ed-seen .ln.bad")
    assert violations(page) == []
    edit(page, "prioritty: 5", "priority: 8")
    no_mistake(page)
    page.click("text=Review and apply")
    page.wait_for_selector(".cf-changes")
    assert violations(page) == []
