import pytest

from ccrelay.config.load import demo_config
from ccrelay.config.problems import ConfigError
from ccrelay.runtime.source import Options, Source, overridden

CONFIG = demo_config("http://127.0.0.1:9")
FILE = """
server: {listen: "127.0.0.1:1"}
providers: [{name: zai, type: zai, keys: [{key: "${TEST_KEY}"}]}]
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "test-key-1")
    file = tmp_path / "ccrelay.yaml"
    file.write_text(FILE)
    return file


def test_without_flags_the_configuration_stands():
    assert overridden(CONFIG, Options()) == CONFIG


def test_flags_replace_what_they_name():
    options = Options(listen="[::1]:1", workers=3, log_format="json", log_level="debug")
    changed = overridden(CONFIG, options)
    assert (changed.server.listen, changed.server.workers) == ("[::1]:1", 3)
    assert (changed.logging.format, changed.logging.level) == ("json", "debug")
    assert changed.providers == CONFIG.providers


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "[::]:8787", "relay.example:8787", "8787"])
def test_a_flag_cannot_open_the_relay_to_everyone(listen):
    with pytest.raises(ConfigError, match=r"server\.listen"):
        overridden(CONFIG, Options(listen=listen))


def test_every_load_reads_the_file_again_under_the_same_flags(file):
    source = Source.find(Options(config=file, workers=2))
    assert source.load().config.server.listen == "127.0.0.1:1"
    file.write_text(FILE.replace(":1", ":2"))
    loaded = source.load()
    assert (loaded.config.server.listen, loaded.config.server.workers) == ("127.0.0.1:2", 2)
    assert loaded.path == source.path == file


def test_the_digest_tells_contents_apart_and_remembers_what_was_loaded(file):
    source = Source.find(Options(config=file))
    assert source.seen is None
    source.load()
    assert source.seen == source.digest() is not None
    file.write_text(FILE + "# more\n")
    assert source.seen != source.digest()
    file.unlink()
    assert source.digest() is None


def test_a_file_that_cannot_be_used_counts_as_seen(file):
    source = Source.find(Options(config=file))
    file.write_text("providers: 3")
    with pytest.raises(ConfigError):
        source.load()
    assert source.seen == source.digest()


def test_a_named_file_has_to_be_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        Source.find(Options(config=tmp_path / "nowhere.yaml"))


def test_a_file_that_is_known_need_not_be_there(tmp_path):
    source = Source(Options(), tmp_path / "away.yaml", b"seen")
    assert (source.path, source.seen, source.digest()) == (tmp_path / "away.yaml", b"seen", None)


def test_without_a_file_there_is_nothing_to_look_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "CCRELAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key-1")
    source = Source.find(Options())
    assert (source.path, source.digest()) == (None, None)
    assert source.load().path is None
