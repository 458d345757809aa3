"""A local Ollama is asked for its models."""

import pytest

from ccrelay.config.defaults import Ollama
from ccrelay.first_run import ollama as command


def test_tags_parses_the_response_or_raises():
    assert command.tags(b'{"models": [{"name": "a:1"}, {"name": 3}, "x"]}') == ("a:1",)
    for body in (b"[]", b"{}", b"<html>"):
        with pytest.raises(ValueError, match=r"list|Expecting"):
            command.tags(body)


class FakeConnection:
    """Replaces http.client.HTTPConnection."""

    status = 200
    asked: list[tuple[object, ...]] = []  # noqa: RUF012

    def __init__(self, host: str, port: int | None, timeout: float) -> None:
        self.asked.append((host, port, timeout))

    def request(self, method: str, path: str) -> None:
        self.asked.append((method, path))

    def getresponse(self):
        return self

    def read(self, size: int) -> bytes:
        return b'{"models": [{"name": "qwen3:32b"}]}'

    def close(self) -> None:
        self.asked.append(("closed",))


def test_probe_ollama_requests_the_tags(monkeypatch):
    monkeypatch.setattr("http.client.HTTPConnection", FakeConnection)
    monkeypatch.setattr(FakeConnection, "asked", [])
    found = command.probe_ollama("http://box:11434/sub/")
    assert found == Ollama("http://box:11434/sub/", ("qwen3:32b",))
    assert FakeConnection.asked == [("box", 11434, 0.5), ("GET", "/sub/api/tags"), ("closed",)]


def test_probe_ollama_returns_none_on_errors(monkeypatch):
    monkeypatch.setattr("http.client.HTTPConnection", FakeConnection)
    monkeypatch.setattr(FakeConnection, "status", 404)
    assert command.probe_ollama("http://box:1") is None
    assert command.probe_ollama("ftp://box") is None
    assert command.probe_ollama("http://[::1") is None

    def refuse(self: FakeConnection, method: str, path: str) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(FakeConnection, "request", refuse)
    assert command.probe_ollama("http://box:1") is None
    monkeypatch.undo()
    monkeypatch.setattr("http.client.HTTPConnection", FakeConnection)
    monkeypatch.setattr(FakeConnection, "read", lambda self, size: b"[" * 100_000)
    assert command.probe_ollama("http://box:1") is None
