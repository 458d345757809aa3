"""`ccrelay init` by its options, without a terminal."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from ccrelay.cli import init as command
from ccrelay.config.defaults import KNOWN_KEYS, Ollama
from ccrelay.config.load import load
from ccrelay.first_run import detect as detecting, write as writing
from ccrelay.v1 import relay_pb2
from tests.child import run_code
from tests.unit.cli.fake_provider import FakeProvider, fake_provider
from tests.unit.cli.running import run as run_command
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]
KEY = "test-key-of-init"
MESSAGE = b'{"type": "message", "usage": {"input_tokens": 9, "output_tokens": 1}}'
Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, a home below it, no Ollama, no keychain."""
    monkeypatch.chdir(tmp_path)
    clouds = ("AWS_", "GOOGLE_", "AZURE_", "ANTHROPIC_", "CLAUDE_")
    names = [name for name in os.environ if name.startswith(clouds)]
    names += [known.variable for known in KNOWN_KEYS]
    for name in (*names, "CCRELAY_CONFIG", "XDG_CONFIG_HOME", "OLLAMA_HOST", "CCRELAY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(detecting, "probe_ollama", lambda url: None)
    monkeypatch.setattr(writing, "probe_ollama", lambda url: None)
    monkeypatch.setattr(writing, "keychain_problem", lambda env: "there is no keychain here")
    monkeypatch.setattr("ccrelay.config.keychain.problem_of", lambda env: "there is none")
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    return lambda *arguments, **how: run_command("init", *arguments, **how)


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with fake_provider() as one:
        one.body = MESSAGE
        yield one


def target(home: Path) -> Path:
    return home / "home" / ".config" / "ccrelay" / "config.yaml"


def test_without_a_terminal_what_is_missing_is_named(run: Run, home: Path) -> None:
    ended = run()
    assert ended.exit_code == 2
    for option in ("--provider", "--login", "--key-from-env", "--key-stdin", "--yes"):
        assert option in ended.stderr
    ended = run("--provider", "zai")
    assert ended.exit_code == 2
    assert "--key-from-env VAR or --key-stdin" in ended.stderr
    ended = run("--provider", "anthropic")
    assert ", or --login" in ended.stderr
    assert not target(home).exists()


def test_a_login_in_one_line(run: Run, home: Path) -> None:
    ended = run("--login", "--no-check")
    assert ended.output.splitlines() == [f"wrote {target(home)}", "next: ccrelay claude"]
    config = load(target(home), env={}).config
    assert [(one.name, one.keys) for one in config.providers] == [("anthropic", [])]


def test_a_piped_key_is_tried_kept_and_nowhere_else(
    run: Run, home: Path, provider: FakeProvider
) -> None:
    options = ["--provider", "zai", "--base-url", provider.url, "--key-stdin", "--check"]
    ended = run(*options, input=f"{KEY}\n")
    assert ended.exit_code == 0, ended.output
    assert "answered with glm-5.3-flash" in ended.stdout
    assert KEY not in ended.output
    assert KEY not in target(home).read_text()
    assert provider.asked[-1][2]["authorization"] == f"Bearer {KEY}"
    provider_ = load(target(home), env=dict(os.environ)).config.providers[0]
    assert (provider_.name, provider_.keys[0].key) == ("zai", KEY)


def test_a_wrong_key_writes_nothing(run: Run, home: Path, provider: FakeProvider) -> None:
    provider.status = 401
    options = ["--provider", "anthropic", "--base-url", provider.url, "--key-stdin"]
    ended = run(*options, input=f"{KEY}\n")
    assert ended.exit_code == 1
    assert "refuses the key" in ended.stderr
    assert ended.stderr.rstrip().endswith("Nothing was written.")
    assert not target(home).parent.exists()
    ended = run(*options, "--no-check", input=f"{KEY}\n")
    assert ended.exit_code == 0


def test_a_variable_is_named(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    ended = run("--provider", "openrouter", "--key-from-env", "MY_KEY", "--no-check")
    assert ended.exit_code == 0, ended.output
    assert "${MY_KEY}" in target(home).read_text()
    assert KEY not in target(home).read_text()


def test_a_found_key_needs_no_option(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    ended = run("--provider", "anthropic", "--provider", "zai", "--no-check")
    assert ended.exit_code == 0, ended.output
    config = load(target(home), env=dict(os.environ)).config
    assert [one.name for one in config.providers] == ["anthropic", "zai"]
    assert config.routing.strategy == "failover"


def test_settings_and_model(run: Run, home: Path) -> None:
    options = ["--provider", "bedrock", "--set", "region=eu-west-1", "--set", "api=mantle"]
    assert run(*options, "--no-check").exit_code == 0
    text = target(home).read_text()
    assert "region: eu-west-1" in text
    assert "api: mantle" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--login", "--key-stdin"], "exclude each other"),
        (["--provider", "zai", "--key-from-env", "A", "--store", "file"], "stays there"),
        (["--provider", "zai", "--key-stdin", "--store", "env"], "--key-from-env VAR"),
        (["--provider", "zai", "--provider", "kimi", "--key-stdin"], "one --provider"),
        (["--provider", "zai", "--set", "region"], "is not NAME=VALUE"),
        (["--yes", "--key-stdin"], "--provider is missing"),
        (["--yes", "--check"], "--provider is missing"),
        (["--yes", "--store", "keychain"], "--provider is missing"),
        (["--provider", "zai", "--key-stdin"], "no key on standard input"),
        (["--provider", "compatible", "--key-from-env", "A"], "--base-url URL is missing"),
        (["--provider", "vertex"], "--set project=VALUE is missing"),
        (["--yes", "--file", "c.toml"], "YAML"),
    ],
)
def test_wrong_usage(run: Run, home: Path, options: list[str], words: str) -> None:
    ended = run(*options)
    assert ended.exit_code == 2
    assert words in ended.stderr
    assert not target(home).exists()


def test_an_unknown_provider_is_told(run: Run) -> None:
    ended = run("--provider", "nosuch", "--key-stdin", input=f"{KEY}\n")
    assert ended.exit_code == 1
    assert "There are: anthropic" in ended.stderr


# ---- all that is found


def test_all_that_is_found(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAI_API_KEY", "canary-zai")
    ended = run("--yes")
    assert ended.output.splitlines() == [
        f"wrote {target(home)}",
        "  found $ZAI_API_KEY",
        "next: ccrelay claude",
    ]
    assert target(home).stat().st_mode & 0o777 == 0o600
    assert "canary" not in target(home).read_text()
    assert [one.name for one in target(home).parent.iterdir()] == ["config.yaml"]
    assert load(target(home)).config.providers


def test_clouds_that_are_found(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_USE_BEDROCK", "1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/canary/sa.json")
    ended = run("--yes")
    assert ended.output.splitlines() == [
        f"wrote {target(home)}",
        "  found bedrock by $CLAUDE_CODE_USE_BEDROCK",
        "  found vertex by $GOOGLE_APPLICATION_CREDENTIALS, as a comment",
        "next: ccrelay claude",
    ]
    assert "canary" not in target(home).read_text()


def test_local_models_that_are_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = Ollama("http://localhost:11434", ("qwen3:32b",))
    monkeypatch.setattr(detecting, "probe_ollama", lambda url: offered)
    ended = run("--yes", "--file", "c.yaml")
    assert "found Ollama at http://localhost:11434, models: 1" in ended.output
    assert '"qwen3:32b"' in Path("c.yaml").read_text()


def test_the_old_name_is_the_same_command(home: Path) -> None:
    ended = run_command("config", "init", "--yes", "--config", "c.yaml")
    assert ended.exit_code == 0
    assert Path("c.yaml").exists()


# ---- what is there already, and what runs already


@pytest.mark.parametrize("options", [["--yes"], ["--login", "--no-check"]])
def test_what_is_there_is_not_changed(run: Run, home: Path, options: list[str]) -> None:
    Path("c.yaml").write_text("mine")
    ended = run(*options, "--file", "c.yaml")
    assert ended.exit_code == 1
    assert "There is a configuration already: c.yaml" in ended.stderr
    assert Path("c.yaml").read_text() == "mine"
    assert run(*options).exit_code == 0
    assert run(*options).exit_code == 1


def test_a_file_elsewhere_has_to_be_named(run: Run) -> None:
    ended = run("--yes", "--file", "ccrelay.yaml")
    assert ended.output.splitlines()[-1] == "next: ccrelay serve --config ccrelay.yaml"


def test_a_file_in_the_working_directory_comes_first(run: Run, home: Path) -> None:
    Path("ccrelay.yaml").write_text("providers: []\n")
    ended = run("--yes")
    assert ended.output.splitlines()[-1] == f"next: ccrelay serve --config {target(home)}"


def test_a_file_that_cannot_be_written(run: Run) -> None:
    Path("file").write_text("")
    ended = run("--yes", "--file", "file/c.yaml")
    assert ended.exit_code == 1
    assert "Cannot write" in ended.stderr


@pytest.mark.parametrize("has_file", [False, True])
def test_a_relay_that_runs_without_a_file_takes_it_over(
    run: Run, relay: FakeRelay, has_file: bool
) -> None:
    status = relay_pb2.Status(config_file="/etc/c.yaml" if has_file else "")
    relay.answers["Relay/GetStatus"] = relay_pb2.GetStatusResponse(status=status)
    relay.answers["Relay/Reload"] = relay_pb2.ReloadResponse(changed=True)
    ended = run("--login", "--no-check")
    assert ("the running relay uses it now" in ended.output) is not has_file
    assert bool(relay.of("Relay/Reload")) is not has_file


def test_the_command_is_light_until_it_runs() -> None:
    code = (
        "import sys, ccrelay.cli.init; "
        "print([m for m in ('yaml', 'asyncio', 'ssl', 'http.client', 'ccrelay.first_run') "
        "if m in sys.modules])"
    )
    assert run_code(code).stdout == "[]\n"


def test_a_terminal_is_both_ends() -> None:
    assert not command.has_terminal()


@pytest.mark.parametrize("options", [["--yes"], ["--login", "--no-check"]])
def test_an_address_for_others_asks_for_a_token(run: Run, home: Path, options: list[str]) -> None:
    assert run(*options, "--listen", "0.0.0.0:8787").exit_code == 0
    loaded = load(target(home), env={"RELAY_TOKEN": "test-token-of-the-relay"})
    assert loaded.config.server.listen == "0.0.0.0:8787"
    assert loaded.config.server.auth.tokens == ["test-token-of-the-relay"]
    ended = run(*options, "--listen", "nonsense", "--file", "c.yaml")
    assert ended.exit_code == 1
    assert not Path("c.yaml").exists()


def test_a_check_that_is_wanted_finds_a_model_or_says_so(
    run: Run, home: Path, provider: FakeProvider
) -> None:
    options = ("--provider", "compatible", "--base-url", provider.url, "--key-stdin", "--check")
    provider.body = b'{"type": "message", "data": [{"id": "m-1"}]}'
    ended = run(*options, input=f"{KEY}\n")
    assert ended.exit_code == 1  # a list that anyone gets, and no count of tokens
    provider.body = b'{"type": "message", "data": [{"id": "m-1"}], "input_tokens": 7}'
    ended = run(*options, input=f"{KEY}\n")
    assert ended.exit_code == 0, ended.output
    assert b'"model":"m-1","max_tokens":1' in provider.asked[-1][3]
    target(home).unlink()
    provider.body = b'{"data": [], "input_tokens": 7}'
    ended = run(*options, input=f"{KEY}\n")
    assert ended.exit_code == 1
    assert "--check needs a model of this service" in ended.stderr


def test_a_key_is_refused_and_not_cut(run: Run, home: Path) -> None:
    options = ("--provider", "zai", "--no-check", "--key-stdin")
    ended = run(*options, input="k" * 20_000)
    assert (ended.exit_code, "more than 16384" in ended.stderr) == (1, True)
    assert not target(home).exists()


def test_no_standard_input_at_all(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccrelay.cli.prompts.sys.stdin", None)
    ended = run("--provider", "zai", "--no-check", "--key-stdin")
    assert ended.exit_code == 2
    assert "there is no key on standard input" in ended.stderr


def test_a_variable_that_is_not_set_is_told(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--provider", "zai", "--key-from-env", "MY_KEY", "--no-check")
    ended = run(*options, "--listen", "0.0.0.0:8787")
    assert "first: set RELAY_TOKEN, which" in ended.stdout
    assert "first: set MY_KEY, which" in ended.stdout
    target(home).unlink()
    monkeypatch.setenv("MY_KEY", KEY)
    assert "first:" not in run(*options).stdout
