import hashlib
import os

import pytest

from ccrelay.config.load import Unconfirmed, demo_config
from ccrelay.config.problems import ConfigError
from ccrelay.config.trust import confirm
from ccrelay.runtime.source import Options, Source, apply_options

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


def test_without_options_the_configuration_is_unchanged():
    assert apply_options(CONFIG, Options()) == CONFIG


def test_options_override_the_configuration():
    options = Options(listen="[::1]:1", workers=3, log_format="json", log_level="debug")
    changed = apply_options(CONFIG, options)
    assert (changed.server.listen, changed.server.workers) == ("[::1]:1", 3)
    assert (changed.logging.format, changed.logging.level) == ("json", "debug")
    assert changed.providers == CONFIG.providers


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "[::]:8787", "relay.example:8787", "8787"])
def test_a_listen_option_without_tokens_must_be_loopback(listen):
    with pytest.raises(ConfigError, match=r"server\.listen"):
        apply_options(CONFIG, Options(listen=listen))


def test_every_load_reads_the_file_and_applies_the_options(file):
    source = Source.find(Options(config=file, workers=2))
    assert source.load().config.server.listen == "127.0.0.1:1"
    file.write_text(FILE.replace(":1", ":2"))
    loaded = source.load()
    assert (loaded.config.server.listen, loaded.config.server.workers) == ("127.0.0.1:2", 2)
    assert loaded.path == source.path == file


def test_digest_changes_with_the_content(file):
    source = Source.find(Options(config=file))
    assert source.last_digest is None
    source.load()
    assert source.last_digest == source.digest() is not None
    file.write_text(FILE + "# more\n")
    assert source.last_digest != source.digest()
    file.unlink()
    assert source.digest() is None


def test_load_of_an_invalid_file_sets_last_digest(file):
    source = Source.find(Options(config=file))
    file.write_text("providers: 3")
    with pytest.raises(ConfigError):
        source.load()
    assert source.last_digest == source.digest()


def test_find_raises_when_the_named_file_is_missing(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        Source.find(Options(config=tmp_path / "nowhere.yaml"))


def test_a_source_may_name_a_missing_file(tmp_path):
    file = tmp_path / "away.yaml"
    source = Source(Options(), file, b"seen")
    assert (source.path, source.last_digest, source.digest()) == (file, b"seen", None)


def test_without_a_file_path_and_digest_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "CCRELAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key-1")
    source = Source.find(Options())
    assert (source.path, source.digest()) == (None, None)
    assert source.load().path is None


@pytest.mark.parametrize("variable", ["ALL_PROXY", "https_proxy"])
def test_a_proxy_that_cannot_be_used_is_a_configuration_error(file, monkeypatch, variable):
    for name in ("ALL_PROXY", "HTTPS_PROXY", "https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    source = Source.find(Options(config=file))
    assert source.load().config.providers[0].name == "zai"
    monkeypatch.setenv(variable, "ftp://me:test-key-2@proxy.example")
    with pytest.raises(
        ConfigError, match=f"environment variable {variable}: the proxy URL"
    ) as error:
        source.load()
    assert "test-key-2" not in str(error.value)
    monkeypatch.setenv("NO_PROXY", "api.z.ai")
    assert source.load().config.providers[0].name == "zai"


def test_certificates_that_are_missing_are_a_warning(file, monkeypatch, tmp_path):
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    warnings = [str(problem) for problem in Source.find(Options(config=file)).load().warnings]
    assert any(str(tmp_path / "none") in warning for warning in warnings)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing/log", "there is no directory"), (".", "it is a directory"), ("log", "")],
)
def test_a_log_file_that_cannot_be_opened_is_an_error_of_the_configuration(
    file, tmp_path, name, reason
):
    file.write_text(FILE + f'logging: {{file: "{tmp_path / name}"}}\n')
    source = Source.find(Options(config=file))
    if reason:
        with pytest.raises(ConfigError, match=rf"logging\.file: cannot write to .*: {reason}"):
            source.load()
    else:
        source.load()
        assert not (tmp_path / name).exists()


# ---- what a signal may do, and a change that was only seen


COMMAND = """
providers:
  - {name: a, type: zai, keys: [{key: "${cmd:sh -c 'echo x >> ran; echo test-key-1'}"}]}
"""


@pytest.fixture
def ran(tmp_path):
    """How often a command has run."""
    trace = tmp_path / "ran"
    return lambda: len(trace.read_text().splitlines()) if trace.exists() else 0


def test_a_new_command_waits_for_a_signal(file, ran):
    source = Source.find(Options(config=file))
    source.load()
    file.write_text(COMMAND)
    with pytest.raises(ConfigError, match=r'the command "sh" is new.*send SIGHUP'):
        source.load(is_signalled=False)
    assert ran() == 0
    source.load()
    assert ran() == 1
    file.write_text(COMMAND + "health: {open_s: 5}")
    assert source.load(is_signalled=False).config.health.open_s == 5.0
    assert ran() == 2


def test_a_signal_that_failed_makes_no_command_known(file, ran):
    source = Source.find(Options(config=file))
    source.load()
    file.write_text(COMMAND + "health: {open_s: x}")
    with pytest.raises(ConfigError, match="open_s"):
        source.load()
    file.write_text(COMMAND)
    with pytest.raises(ConfigError, match="is new"):
        source.load(is_signalled=False)


def test_after_an_upgrade_the_same_commands_are_known(file, ran):
    file.write_text(COMMAND)
    before = Source.find(Options(config=file))
    loaded = before.load()
    source = Source(Options(), file, commands=loaded.commands, config=loaded.config)
    source.load(is_signalled=False)
    assert ran() == 2
    file.write_text(COMMAND.replace("echo x", "echo y"))
    with pytest.raises(ConfigError, match="is new"):
        source.load(is_signalled=False)


def test_an_explanation_runs_no_command(file, ran):
    file.write_text(COMMAND)
    Source.find(Options(config=file)).load(run_commands=False)
    assert ran() == 0


@pytest.fixture
def found(file, monkeypatch):
    """The file as one of the working directory, confirmed."""
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("HOME", str(file.parent / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "CCRELAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    source = Source.find(Options())
    with pytest.raises(Unconfirmed):
        source.load()
    confirm(file, hashlib.sha256(file.read_bytes()).hexdigest(), os.environ)
    return source


def test_a_found_file_is_confirmed_once_for_a_start(found, file):
    assert found.is_unnamed
    found.load()
    file.write_text(FILE + "health: {open_s: 5}")
    assert found.load(is_signalled=False).config.health.open_s == 5.0
    assert found.load().config.health.open_s == 5.0
    with pytest.raises(Unconfirmed):
        Source.find(Options()).load()


def test_a_new_ledger_of_a_found_file_waits_for_a_signal(found, file, tmp_path):
    found.load()
    file.write_text(FILE + f"ledger: {{path: '{tmp_path}/other.db'}}")
    with pytest.raises(ConfigError, match=r"ledger\.path is new"):
        found.load(is_signalled=False)
    assert found.load().config.ledger.path == f"{tmp_path}/other.db"
    assert found.load(is_signalled=False).config.ledger.path == f"{tmp_path}/other.db"


def test_a_new_host_in_a_found_file_waits_for_a_signal(found, file):
    found.load()
    other = FILE.replace("type: zai,", "type: zai, base_url: 'https://other.example/x',")
    file.write_text(other)
    with pytest.raises(ConfigError, match=r'"https://other\.example" is new.*send SIGHUP'):
        found.load(is_signalled=False)
    found.load()
    file.write_text(other.replace("/x", "/y"))
    assert found.load(is_signalled=False).config.providers[0].base_url.endswith("/y")
    file.write_text(FILE)
    with pytest.raises(ConfigError, match="is new"):
        found.load(is_signalled=False)


def test_a_new_host_in_a_named_file_is_applied_when_it_is_seen(file):
    source = Source.find(Options(config=file))
    source.load()
    file.write_text(FILE.replace("type: zai,", "type: zai, base_url: 'https://other.example/x',"))
    assert source.load(is_signalled=False).config.providers[0].base_url.endswith("/x")


def test_who_can_write_is_asked_at_every_load(file):
    source = Source.find(Options(config=file))
    source.load()
    file.chmod(0o666)
    for is_signalled in (True, False):
        with pytest.raises(ConfigError, match=r"refused: .* can be written by every user"):
            source.load(is_signalled=is_signalled)


def test_a_pipe_has_no_digest(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert Source(Options(), tmp_path / "fifo").digest() is None  # and does not block


def test_a_file_of_the_home_that_comes_later_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("CCRELAY_CONFIG", raising=False)
    source = Source.find(Options())
    assert source.appeared() is None
    assert not source.adopt()
    # One of the working directory has not been confirmed.
    (tmp_path / "ccrelay.yaml").write_text("providers: []\n")
    assert not source.adopt()
    own = tmp_path / "home" / ".config" / "ccrelay" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("providers: [{name: a, type: anthropic}]\n")
    assert source.appeared() == own
    assert source.path is None
    assert source.adopt()
    assert source.path == own
    assert not source.is_unnamed
    assert source.load().config.providers[0].name == "a"
    assert not source.adopt()  # it is in use
