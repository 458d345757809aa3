import hashlib
import os
import signal
from pathlib import Path

import msgspec
import pytest

from ccrelay.config.load import Unconfirmed
from ccrelay.config.model import Key
from ccrelay.config.problems import ConfigError
from ccrelay.config.trust import confirm
from ccrelay.runtime import launch as module, worker
from ccrelay.runtime.launch import launch
from ccrelay.runtime.memory import anonymous_file
from ccrelay.runtime.processes import (
    HANDOVER_VARIABLE,
    NO_FILE_VARIABLE,
    PREFLIGHT_VARIABLE,
    PREFLIGHT_VARIABLE_0_2,
)
from ccrelay.runtime.source import Options, Source
from ccrelay.runtime.upgrade import PreflightResult


@pytest.fixture
def preflight(tmp_path, monkeypatch):
    """Launch as in the child process of an upgrade; returns the result that it writes."""
    monkeypatch.setattr(worker, "load_relay", lambda: None)
    fd = anonymous_file()
    monkeypatch.setenv(PREFLIGHT_VARIABLE, str(fd))

    def preflight(text: str, **options: object) -> PreflightResult:
        file = tmp_path / "ccrelay.yaml"
        file.write_text(text)
        silent = str.lower
        assert launch(Options(config=file, **options), silent, silent) == 0
        return msgspec.msgpack.decode(os.pread(fd, 1 << 20, 0), type=PreflightResult)

    yield preflight
    os.close(fd)


def test_a_preflight_loads_the_configuration_without_serving(preflight):
    text = "providers: [{name: zai, type: zai, keys: [{key: test-key-1}]}]"
    prepared = preflight(text, workers=3)
    assert prepared.config.providers[0].keys == [Key(key="test-key-1")]
    assert prepared.config.server.workers == 3
    assert prepared.digest is not None
    assert Path(os.fsdecode(prepared.file)).name == "ccrelay.yaml"
    assert any("secret in plain text" in warning for warning in prepared.warnings)
    assert PREFLIGHT_VARIABLE not in os.environ


def test_a_preflight_with_an_invalid_file_raises(preflight):
    with pytest.raises(ConfigError, match="no providers"):
        preflight("server: {}")


def test_a_preflight_with_an_unusable_log_file_raises(preflight):
    text = "{logging: {file: /nowhere/log}, providers: [{name: o, type: ollama}]}"
    with pytest.raises(ConfigError, match=r"cannot write to .*/nowhere/log"):
        preflight(text)


def test_a_preflight_for_version_0_2_fails_before_anything_is_loaded(monkeypatch):
    monkeypatch.setenv(PREFLIGHT_VARIABLE_0_2, "9")
    monkeypatch.setattr(Source, "find", lambda options: pytest.fail("loaded"))
    with pytest.raises(ConfigError, match=r"cannot upgrade ccrelay 0\.2 in place: restart it"):
        launch(Options(), str.lower, str.lower)
    assert PREFLIGHT_VARIABLE_0_2 not in os.environ


@pytest.fixture(autouse=True)
def not_hardened(monkeypatch):
    """The process of the tests stays as it is."""
    monkeypatch.setattr(module, "harden_process", lambda: None)


SIGNALS = (signal.SIGHUP, signal.SIGUSR2)


@pytest.fixture
def handlers_at_the_start(monkeypatch):
    """Launch up to the first worker; returns the signal handlers at that point."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    class NoProcess:
        def __init__(self, *commands):
            pass

        def prefork(self):
            raise OSError("no process left")

    monkeypatch.setattr(module, "PreforkedWorkers", NoProcess)

    def launched() -> set[object]:
        with pytest.raises(OSError, match="no process left"):
            launch(Options(), str.lower, str.lower)
        return {signal.getsignal(number) for number in SIGNALS}

    yield launched
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_are_ignored_until_handlers_are_installed(handlers_at_the_start):
    assert handlers_at_the_start() == {signal.SIG_IGN}


def test_a_new_image_does_not_ignore_signals(handlers_at_the_start, monkeypatch):
    """Ignoring a signal discards a pending one, which was blocked for the new image."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    fd = anonymous_file()
    monkeypatch.setenv(HANDOVER_VARIABLE, str(fd))
    assert handlers_at_the_start() == {signal.SIG_DFL}
    os.close(fd)


def test_a_preflight_without_a_file_searches_for_none(monkeypatch, tmp_path):
    monkeypatch.setattr(worker, "load_relay", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ccrelay.yaml").write_text("providers: [{name: o, type: ollama}]")
    fd = anonymous_file()
    monkeypatch.setenv(PREFLIGHT_VARIABLE, str(fd))
    monkeypatch.setenv(NO_FILE_VARIABLE, "1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key-1")
    assert launch(Options(), str.lower, str.lower) == 0
    result = msgspec.msgpack.decode(os.pread(fd, 1 << 20, 0), type=PreflightResult)
    os.close(fd)
    assert (result.file, result.config.providers[0].name) == (None, "anthropic")
    assert NO_FILE_VARIABLE not in os.environ


def test_a_preflight_passes_the_commands_that_ran(preflight):
    key = "${cmd:echo test-key-1}"
    result = preflight(f"providers: [{{name: zai, type: zai, keys: [{{key: '{key}'}}]}}]")
    assert result.commands == ["echo test-key-1"]


@pytest.mark.parametrize("answer", [True, False])
def test_the_user_is_asked_about_a_found_file(monkeypatch, tmp_path, answer):
    """Before a loop runs, so that Ctrl-C ends the question."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CCRELAY_CONFIG", raising=False)
    file = tmp_path / "ccrelay.yaml"
    file.write_text("providers: [{name: o, type: ollama}]")
    asked = []

    def ask(path: Path) -> bool:
        asked.append(path)
        if answer:
            confirm(path, hashlib.sha256(file.read_bytes()).hexdigest(), os.environ)
        return answer

    if answer:
        assert module._load(Source.find(Options()), str.lower, ask).providers[0].name == "o"
    else:
        with pytest.raises(Unconfirmed):
            module._load(Source.find(Options()), str.lower, ask)
    assert asked == [file]
