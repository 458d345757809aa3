import sys
import webbrowser
from collections.abc import Mapping

import pytest

from ccrelay.cli import open as module
from ccrelay.cli.open import NO_BROWSER, has_display
from ccrelay.control.client import CallFailed
from ccrelay.v1.relay_pb2 import CreateSignInLinkResponse
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]

URL = "http://127.0.0.1:8789/#k=one-time-code"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, relay: FakeRelay) -> list[str]:
    """What a browser was told to open."""
    relay.answers["Relay/CreateSignInLink"] = CreateSignInLinkResponse(url=URL)
    urls: list[str] = []
    monkeypatch.setattr(module, "has_display", lambda env, platform: True)
    monkeypatch.setattr(webbrowser, "open", lambda url: urls.append(url) or True)
    return urls


def test_it_opens_the_link_and_prints_it(relay: FakeRelay, opened: list[str]) -> None:
    ended = run("open")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, f"{URL}\n", "")
    assert opened == [URL]
    [request] = relay.of("Relay/CreateSignInLink")
    assert not request.read_only


def test_it_only_prints(opened: list[str]) -> None:
    assert run("open", "--print").stdout == f"{URL}\n"
    assert opened == []


def test_it_asks_for_a_page_that_changes_nothing(relay: FakeRelay, opened: list[str]) -> None:
    run("open", "--print", "--read-only")
    [request] = relay.of("Relay/CreateSignInLink")
    assert request.read_only


def test_without_a_browser_it_says_so(opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    ended = run("open")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, f"{URL}\n", f"{NO_BROWSER}\n")


def test_from_another_machine_it_says_how(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "has_display", has_display)
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    ended = run("open")
    assert opened == []
    assert "ssh -L 8789:127.0.0.1:8789 HOST" in ended.stderr


def test_a_browser_that_fails_is_no_failure(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(url: str) -> bool:
        raise webbrowser.Error("no browser")

    monkeypatch.setattr(webbrowser, "open", fail)
    ended = run("open")
    assert (ended.exit_code, ended.stdout) == (0, f"{URL}\n")


def test_a_relay_without_a_page_is_told(relay: FakeRelay) -> None:
    relay.answers["Relay/CreateSignInLink"] = CallFailed("FAILED_PRECONDITION", "No page.")
    ended = run("open")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", "No page.\n")


@pytest.mark.parametrize(
    ("env", "platform", "shown"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"WSL_DISTRO_NAME": "Debian"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "x"}, "darwin", False),
    ],
)
def test_where_a_browser_can_be_started(env: Mapping[str, str], platform: str, shown: bool) -> None:
    assert has_display(env, platform) == shown
