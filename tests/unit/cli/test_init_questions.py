"""What `ccrelay init` asks, answered by a fake person. A real terminal: tests/process."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from ccrelay.cli import init as command, init_questions as questions
from ccrelay.config.defaults import Ollama
from ccrelay.config.load import load
from ccrelay.first_run import detect as detecting
from ccrelay.first_run.check import Checked
from ccrelay.first_run.choice import Choice
from tests.unit.cli.fake_provider import FakeProvider
from tests.unit.cli.test_init import KEY, Run, home, provider, run, target

__all__ = ["home", "provider", "run"]


@pytest.fixture(autouse=True)
def person(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits there; the answers are standard input."""
    monkeypatch.setattr(command, "has_terminal", lambda: True)
    monkeypatch.setattr(questions, "keychain_problem", lambda env: "there is no keychain here")


def answers(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_what_was_found_is_first_and_one_answer_is_enough(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, provider: FakeProvider
) -> None:
    offered = Ollama(provider.url, ("a:1", "b:2"))
    monkeypatch.setattr(detecting, "probe_ollama", lambda url: offered)
    provider.body = b'{"data": [{"id": "a:1"}, {"id": "b:2"}]}'
    ended = run("--no-check", input=answers("", "b:2", ""))
    assert ended.exit_code == 0, ended.output
    assert "   1  ollama" in ended.stdout
    assert "Which one answers Claude Code first? [1]" in ended.stdout
    config = load(target(home), env={}).config
    assert config.providers[0].model_mapping["claude-*"] == "b:2"


def test_a_key_is_asked_for_until_it_is_right(run: Run, home: Path, provider: FakeProvider) -> None:
    provider.by_path["/v1/models?limit=1000"] = 401
    options = ("--provider", "anthropic", "--base-url", provider.url)
    ended = run(*options, input=answers(KEY, "n"))
    assert ended.exit_code == 1
    assert "refuses the key" in ended.stdout
    assert "Try another key?" in ended.stdout
    assert not target(home).exists()
    provider.by_path.clear()
    provider.body = b'{"data": [{"id": "claude-haiku-9"}], "input_tokens": 7}'
    ended = run(*options, input=answers("a b", "y", KEY, "n"))
    assert ended.exit_code == 0, ended.output
    assert "has blanks" in ended.stdout
    assert KEY not in ended.output
    assert "Ask claude-haiku-9 for one token? It is billed; its price is not known" in ended.stdout
    assert "goes to a file of mode 0600: there is no keychain here." in ended.stdout


def test_a_token_is_asked_for_when_that_is_wanted(
    run: Run, home: Path, provider: FakeProvider
) -> None:
    options = ("--provider", "zai", "--base-url", provider.url)
    provider.by_path["/v1/models?limit=1000"] = 404
    provider.body = b'{"type": "message", "input_tokens": 7}'
    ended = run(*options, input=answers(KEY, "", "y"))
    assert ended.exit_code == 0, ended.output
    assert "Model for Claude's names [glm-5.3]" in ended.stdout
    assert "It is billed: <$0.0001." in ended.stdout
    assert "answered with glm-5.3-flash in" in ended.stdout
    assert b"max_tokens" in provider.asked[-1][3]


def test_another_model_stands_for_all(run: Run, home: Path) -> None:
    ended = run("--provider", "zai", "--no-check", input=answers(KEY, "glm-9"))
    assert ended.exit_code == 0, ended.output
    config = load(target(home), env={"HOME": str(home / "home")}).config
    assert set(config.providers[0].model_mapping.values()) == {"glm-9"}


def test_two_are_used_in_their_order(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    ended = run("--no-check", input=answers("1", "2", ""))
    assert ended.exit_code == 0, ended.output
    config = load(target(home)).config
    assert [one.name for one in config.providers] == ["anthropic", "zai"]


def test_the_keychain_is_offered_where_there_is_one(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "keychain_problem", lambda env: "")
    ended = run("--provider", "zai", "--no-check", input=answers(KEY, "", "file"))
    assert ended.exit_code == 0, ended.output
    assert "Keep the key in the (keychain, file) [keychain]" in ended.stdout
    assert (target(home).parent / "keys" / "zai").exists()


@pytest.mark.parametrize(
    ("number", "type_"), [("1", "anthropic"), ("7", "compatible"), ("8", "anthropic")]
)
def test_what_is_not_found_can_be_chosen(run: Run, home: Path, number: str, type_: str) -> None:
    lines = {"1": [KEY], "7": ["http://127.0.0.1:9", KEY, "m:1"], "8": []}[number]
    ended = run("--no-check", input=answers(number, *lines))
    assert ended.exit_code == 0, ended.output
    assert "Nothing was found on this machine." in ended.stdout
    [one] = load(target(home), env={}).config.providers
    assert (one.type, bool(one.keys)) == (type_, number != "8")


def test_what_a_cloud_has_to_be_told_is_asked(run: Run, home: Path) -> None:
    ended = run("--provider", "vertex", "--no-check", input=answers("my-project"))
    assert ended.exit_code == 0, ended.output
    assert "project: my-project" in target(home).read_text()


def test_a_provider_that_does_not_answer_can_be_used_all_the_same(run: Run, home: Path) -> None:
    options = ("--login", "--base-url", "http://127.0.0.1:1")
    assert run(*options, input=answers("n")).exit_code == 1
    assert not target(home).exists()
    ended = run(*options, input=answers("y"))
    assert ended.exit_code == 0, ended.output
    assert "Use it all the same?" in ended.stdout


def test_what_cannot_be_a_second_one_is_left_out(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, provider: FakeProvider
) -> None:
    provider.status = 401
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    asked = questions.check

    async def ask(choice: Choice, env: Mapping[str, str], *, model: str) -> Checked:
        if choice.type == "anthropic":
            return Checked(ok=True, message="It answers.")
        there = msgspec.structs.replace(choice, base_url=provider.url)
        return await asked(there, env, model=model)

    monkeypatch.setattr(questions, "check", ask)
    ended = run(input=answers("1", "n", "2", "n", ""))
    assert ended.exit_code == 0, ended.output
    assert "refuses the key" in ended.stdout
    assert "It is left out." in ended.stdout
    config = load(target(home)).config
    assert [one.name for one in config.providers] == ["anthropic"]


def test_a_service_with_claudes_names_gets_no_mapping(
    run: Run, home: Path, provider: FakeProvider
) -> None:
    provider.body = b'{"data": [{"id": "claude-o-9"}, {"id": "claude-haiku-9"}], "input_tokens": 7}'
    options = ("--provider", "compatible", "--base-url", provider.url)
    ended = run(*options, input=answers(KEY, "n"))
    assert ended.exit_code == 0, ended.output
    assert "Model for Claude's names" not in ended.stdout
    assert "Ask claude-haiku-9 for one token?" in ended.stdout
    [one] = load(target(home), env={"HOME": str(home / "home")}).config.providers
    assert one.model_mapping == {}


def test_an_end_of_input_leaves_nothing(run: Run, home: Path) -> None:
    assert run(input="").exit_code == 1
    assert run("--provider", "zai", input="").exit_code == 1
    assert not target(home).parent.exists()


def test_rows_are_chosen_by_their_names_too(run: Run, home: Path) -> None:
    ended = run("--no-check", input=answers("nosuch", "99", "-1", "0", " ZAI ", KEY, ""))
    assert ended.exit_code == 0, ended.output
    assert ended.output.count("Answer with a number up to 8, or with a name.") == 4
    assert load(target(home), env={}).config.providers[0].name == "zai"


def test_an_address_is_asked_for_until_it_is_one(
    run: Run, home: Path, provider: FakeProvider
) -> None:
    provider.body = b'{"data": [{"id": "claude-haiku-9"}], "input_tokens": 7}'
    lines = ("compatible", "nonsense", f"{provider.url}/v1/messages", "  ", provider.url, KEY, "n")
    ended = run(input=answers(*lines))
    assert ended.exit_code == 0, ended.output
    assert "must be http://HOST" in ended.stdout
    assert 'remove "/v1/messages"' in ended.stdout
    assert "An answer is needed" in ended.stdout
    assert ended.stdout.count("Key of compatible") == 1


def test_another_key_is_no_help_where_nothing_answers(
    run: Run, home: Path, provider: FakeProvider
) -> None:
    provider.status = 503
    options = ("--provider", "zai", "--base-url", provider.url)
    ended = run(*options, input=answers(KEY, "n"))
    assert ended.exit_code == 1
    assert "fails: try again later" in ended.stdout
    assert "Try another key?" not in ended.stdout
    ended = run(*options, input=answers(KEY, "y", "", "n"))
    assert ended.exit_code == 0, ended.output


def test_a_model_that_is_not_listed_has_to_be_meant(
    run: Run, home: Path, provider: FakeProvider
) -> None:
    provider.body = b'{"data": [{"id": "m-1"}, {"id": "m-2"}], "input_tokens": 7}'
    options = ("--provider", "compatible", "--base-url", provider.url)
    ended = run(*options, input=answers(KEY, "m-3", "n", "m-2", "n"))
    assert ended.exit_code == 0, ended.output
    assert "m-3 is not among the models that it lists." in ended.stdout
    [one] = load(target(home), env={"HOME": str(home / "home")}).config.providers
    assert one.model_mapping["claude-*"] == "m-2"


def test_a_place_that_cannot_be_written_is_told_before_a_question(run: Run, home: Path) -> None:
    target(home).parent.parent.mkdir(parents=True)
    target(home).parent.write_text("a file")
    ended = run("--provider", "zai", input=answers(KEY))
    assert ended.exit_code == 1
    assert "Not a directory. Nothing was written." in ended.stderr
    assert "Key of" not in ended.stdout


def test_ctrl_c_while_a_provider_is_asked_says_that_nothing_was_written(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*_: object, **_more: object) -> Checked:
        raise KeyboardInterrupt

    monkeypatch.setattr(questions, "check", interrupted)
    ended = run("--provider", "zai", input=answers(KEY))
    assert ended.exit_code != 0
    assert "Nothing was written." in ended.stderr
    assert not target(home).parent.exists()
