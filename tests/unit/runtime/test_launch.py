import os

import msgspec
import pytest

from ccrelay.config.model import Key
from ccrelay.config.problems import ConfigError
from ccrelay.runtime import worker
from ccrelay.runtime.launch import launch
from ccrelay.runtime.memory import anonymous_file
from ccrelay.runtime.processes import REHEARSAL_VARIABLE
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
    assert any("the secret stands in the file" in warning for warning in prepared.warnings)
    assert REHEARSAL_VARIABLE not in os.environ


def test_a_rehearsal_of_a_broken_file_says_what_is_wrong(rehearsal):
    with pytest.raises(ConfigError, match="no providers"):
        rehearsal("server: {}")


def test_a_rehearsal_notices_a_log_that_cannot_be_opened(rehearsal):
    text = "{logging: {file: /nowhere/log}, providers: [{name: o, type: ollama}]}"
    with pytest.raises(OSError, match="/nowhere/log"):
        rehearsal(text)
