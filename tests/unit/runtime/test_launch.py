import os
import signal
from pathlib import Path

import msgspec
import pytest

from ccrelay.config.model import Key
from ccrelay.config.problems import ConfigError
from ccrelay.runtime import launch as module, worker
from ccrelay.runtime.launch import launch
from ccrelay.runtime.memory import anonymous_file
from ccrelay.runtime.processes import HANDOVER_VARIABLE, REHEARSAL_VARIABLE
from ccrelay.runtime.source import Options
from ccrelay.runtime.upgrade import Prepared


@pytest.fixture
def rehearsal(tmp_path, monkeypatch):
    """Launch as the child of an upgrade is launched; returns what it has written."""
    monkeypatch.setattr(worker, "real_relay", lambda: None)
    fd = anonymous_file()
    monkeypatch.setenv(REHEARSAL_VARIABLE, str(fd))

    def rehearse(text: str, **options: object) -> Prepared:
        file = tmp_path / "ccrelay.yaml"
        file.write_text(text)
        silent = str.lower
        assert launch(Options(config=file, **options), silent, silent) == 0
        return msgspec.msgpack.decode(os.pread(fd, 1 << 20, 0), type=Prepared)

    yield rehearse
    os.close(fd)


def test_a_rehearsal_loads_everything_and_serves_nobody(rehearsal):
    text = "providers: [{name: zai, type: zai, keys: [{key: test-key-1}]}]"
    prepared = rehearsal(text, workers=3)
    assert prepared.config.providers[0].keys == [Key(key="test-key-1")]
    assert prepared.config.server.workers == 3
    assert prepared.digest is not None
    assert Path(os.fsdecode(prepared.file)).name == "ccrelay.yaml"
    assert any("the secret stands in the file" in warning for warning in prepared.warnings)
    assert REHEARSAL_VARIABLE not in os.environ


def test_a_rehearsal_of_a_broken_file_says_what_is_wrong(rehearsal):
    with pytest.raises(ConfigError, match="no providers"):
        rehearsal("server: {}")


def test_a_rehearsal_notices_a_log_that_cannot_be_opened(rehearsal):
    text = "{logging: {file: /nowhere/log}, providers: [{name: o, type: ollama}]}"
    with pytest.raises(OSError, match="/nowhere/log"):
        rehearsal(text)


NOT_YET = (signal.SIGHUP, signal.SIGUSR2)


@pytest.fixture
def handlers_at_the_start(monkeypatch):
    """Launch as far as the first worker; returns what the signals for a relay do then."""
    before = {number: signal.getsignal(number) for number in NOT_YET}

    class Nobody:
        def __init__(self, command):
            pass

        def start_first(self):
            raise OSError("no process left")

    monkeypatch.setattr(module, "Recruits", Nobody)

    def launched() -> set[object]:
        with pytest.raises(OSError, match="no process left"):
            launch(Options(), str.lower, str.lower)
        return {signal.getsignal(number) for number in NOT_YET}

    yield launched
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_that_come_before_their_handlers_do_not_end_the_process(handlers_at_the_start):
    assert handlers_at_the_start() == {signal.SIG_IGN}


def test_an_image_that_takes_over_leaves_them_alone(handlers_at_the_start, monkeypatch):
    """What is held back for it would be lost: a pending signal goes when it becomes ignored."""
    for number in NOT_YET:
        signal.signal(number, signal.SIG_DFL)
    fd = anonymous_file()
    monkeypatch.setenv(HANDOVER_VARIABLE, str(fd))
    assert handlers_at_the_start() == {signal.SIG_DFL}
    os.close(fd)
