import pytest
from click.testing import CliRunner

from ccrelay.cli.main import cli
from ccrelay.tui.once import once_lines
from ccrelay.v1 import exchanges_pb2 as ex
from tests.unit.cli import examples
from tests.unit.cli.served import FakeRelay, relay, zone
from tests.unit.tui.design import Shown, failing, sessions

__all__ = ["relay", "zone"]  # fixtures


@pytest.fixture
def answering(relay: FakeRelay) -> FakeRelay:
    relay.answers["Exchanges/List"] = ex.ExchangesListResponse(exchanges=examples.exchanges())
    relay.answers["Exchanges/Get"] = examples.detail()
    relay.answers["Usage/ListSessions"] = sessions()
    return relay


def test_the_first_page_is_printed_plain_without_a_terminal(answering: FakeRelay) -> None:
    result = CliRunner().invoke(cli, ["top", "--once"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[1] == (
        " Answering. Nothing was lost today.                $17.54 billed  $150.89 saved"
    )
    assert lines[2].startswith("┌─ Lanes ─")
    assert any("payments-api background" in line for line in lines)
    assert "\x1b" not in result.output
    assert not any("? keys" in line for line in lines)


def test_a_wide_output_has_the_large_page(
    answering: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    result = CliRunner().invoke(cli, ["top", "--once", "--theme", "none"])
    assert "Sessions today" in result.output
    assert "Why: " in result.output


def test_no_relay_ends_with_its_code(relay: FakeRelay) -> None:
    from ccrelay.control.client import NoRelay

    relay.answers["Relay/GetStatus"] = NoRelay("No relay runs. Start one: ccrelay serve")
    result = CliRunner().invoke(cli, ["top", "--once"])
    assert result.exit_code == 3
    assert "No relay runs." in result.output


def test_a_ledger_that_is_off_leaves_the_rest(relay: FakeRelay) -> None:
    from ccrelay.control.client import CallFailed

    for method in ("Exchanges/List", "Usage/ListSessions"):
        relay.answers[method] = CallFailed("UNIMPLEMENTED", "no ledger")
    result = CliRunner().invoke(cli, ["top", "--once"])
    assert result.exit_code == 0, result.output
    assert "A login" in result.output


def test_colours_are_those_of_a_terminal() -> None:
    shown = Shown(Usage__ListSessions=failing("x"))
    lines = once_lines(shown.dashboard, shown.screen)
    text = "\n".join(lines)
    assert "\x1b[36m[Now]\x1b[0m" in text
    assert "\x1b[48m" not in text
    assert "\x1b[49m" not in text
