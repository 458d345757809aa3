import json
import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from ccrelay.cli import config as command
from ccrelay.config.defaults import KNOWN_KEYS
from tests.child import run_code

GOOD = "providers: [{name: p, type: zai, keys: [{key: '${K}', tpm_limit: 5, otpm_limit: 6}]}]\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `ccrelay config ...` in an empty directory, with a temporary home and no Ollama."""
    monkeypatch.chdir(tmp_path)
    for known in KNOWN_KEYS:
        monkeypatch.delenv(known.variable, raising=False)
    clouds = ("AWS_", "GOOGLE_", "AZURE_", "ANTHROPIC_", "CLAUDE_CODE_USE_")
    own = [name for name in os.environ if name.startswith(clouds)]
    for name in ("ANTHROPIC_API_KEY", "CCRELAY_CONFIG", "XDG_CONFIG_HOME", "OLLAMA_HOST", *own):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("K", "canary-key")

    def invoke(*arguments: str):
        return CliRunner().invoke(command.config, list(arguments))

    return invoke


def test_check_of_a_valid_file_prints_ok_and_warnings(run):
    Path("ccrelay.yaml").write_text(GOOD)
    result = run("check", "-c", "ccrelay.yaml")
    assert result.exit_code == 0
    assert (
        "ccrelay.yaml:1:81: warning: providers[0].keys[0].otpm_limit: never reached"
        in result.output
    )
    assert "ok (providers: p)" in result.output


def test_check_prints_all_problems_and_exits_2(run):
    Path("bad.yaml").write_text("servr: {}\nproviders: [{nme: p}]\n")
    result = run("check", "--config", "bad.yaml")
    assert result.exit_code == 2
    assert result.output.splitlines() == [
        'bad.yaml:1:1: servr: unknown key (did you mean "server"?)',
        "bad.yaml:2:13: providers[0].base_url: type compatible requires a base_url or a preset",
        "bad.yaml:2:13: providers[0].keys: auth bearer requires at least one key",
        'bad.yaml:2:14: providers[0].nme: unknown key (did you mean "name"?)',
        "4 errors",
    ]


def test_check_suggests_the_new_name_of_a_renamed_setting(run):
    Path("old.yaml").write_text(GOOD + "health: {rest_s: 1}\nrouting: {max_wait_s: 5}\n")
    result = run("check", "--config", "old.yaml")
    assert result.exit_code == 2
    assert result.output.splitlines()[-3:] == [
        'old.yaml:2:10: health.rest_s: unknown key (did you mean "open_s"?)',
        'old.yaml:3:11: routing.max_wait_s: unknown key (did you mean "queue_timeout_s"?)',
        "2 errors",
    ]


def test_check_works_without_a_file(run):
    result = run("check")
    assert result.exit_code == 0
    assert "no file, environment only: ok (providers: anthropic)" in result.output


def test_show_prints_the_effective_configuration_without_secrets(run):
    Path("ccrelay.yaml").write_text(GOOD)
    result = run("show", "-c", "ccrelay.yaml")
    assert result.exit_code == 0
    data = yaml.safe_load(result.output)
    assert data["providers"][0]["base_url"] == "https://api.z.ai/api/anthropic"
    assert data["providers"][0]["keys"][0]["key"].startswith("hmac:")
    assert data["server"]["listen"] == "127.0.0.1:8787"
    assert "canary" not in result.output


def test_show_with_an_invalid_configuration_exits_2(run):
    result = run("show", "-c", "missing.yaml")
    assert result.exit_code == 2
    assert "no such file" in result.stderr


def test_path_prints_the_file_in_use(run, tmp_path):
    nothing = run("path")
    assert nothing.exit_code == 1
    assert nothing.stdout == ""
    Path("ccrelay.toml").write_text("")
    assert run("path").output == f"{tmp_path}/ccrelay.toml\n"
    assert run("path", "-c", "missing").exit_code == 2


def test_path_all_lists_locations_and_marks_the_one_in_use(run, tmp_path):
    Path("ccrelay.toml").write_text("")
    lines = run("path", "--all").output.splitlines()
    assert f"* {tmp_path}/ccrelay.toml" in lines
    assert f"  {tmp_path}/home/.config/ccrelay/config.yaml" in lines
    Path("mine.yaml").write_text("")
    assert run("path", "--all", "-c", "mine.yaml").output.splitlines()[0] == "* mine.yaml"


TRAP = """
providers: [{name: p, type: zai, keys: [{key: "${cmd:sh -c 'touch ran; echo test-key-1'}"}]}]
"""


@pytest.mark.parametrize("arguments", ["check", "show", "path", "path --all", "trust --yes"])
@pytest.mark.parametrize("is_named", [True, False])
def test_no_command_is_run(run, arguments, is_named):
    Path("ccrelay.yaml").write_text(TRAP)
    if not is_named:
        assert run("trust", "--yes").exit_code == 0
    name = ["ccrelay.yaml"] if arguments.startswith("trust") else ["-c", "ccrelay.yaml"]
    result = run(*arguments.split(), *(name if is_named else []))
    assert result.exit_code == 0, result.output
    assert not Path("ran").exists()


def test_check_says_which_commands_are_not_run_and_runs_them_when_asked(run):
    Path("c.yaml").write_text(TRAP)
    result = run("check", "-c", "c.yaml")
    assert "c.yaml:2:47: warning: providers[0].keys[0].key: the command is not run" in result.output
    assert "check --run-commands" in result.output
    assert not Path("ran").exists()
    result = run("check", "-c", "c.yaml", "--run-commands")
    assert "not run" not in result.output
    assert Path("ran").exists()
    Path("c.yaml").write_text(TRAP.replace("echo test-key-1", "exit 3"))
    assert run("check", "-c", "c.yaml").exit_code == 0
    result = run("check", "-c", "c.yaml", "--run-commands")
    assert (result.exit_code, "exit code 3" in result.output) == (2, True)


def test_show_names_values_of_commands_that_are_not_run(run):
    Path("c.yaml").write_text(TRAP)
    data = yaml.safe_load(run("show", "-c", "c.yaml").output)
    assert (
        data["providers"][0]["keys"][0]["key"] == "(of a command or the keychain, not asked here)"
    )


EVERYWHERE = """
server: {listen: "${cmd:x}", allowed_hosts: [a.example, "${cmd:x}", b.example]}
routing:
  strategy: "${cmd:x}"
  models_default: ["${cmd:x}", p]
  models: {"m-": ["${cmd:x}"]}
  rules:
    - name: "${cmd:x}"
      when: {model: ["${cmd:x}"], headers: {x-a: "${cmd:x}"}}
      use: {model: "${cmd:x}"}
providers:
  - name: p
    type: ollama
    base_url: "${cmd:x}"
    models: ["${cmd:x}", m, {id: "${cmd:x}"}]
    model_mapping: {a: "${cmd:x}"}
    drop_betas: ["${cmd:x}"]
  - {name: "${cmd:x}", preset: "${cmd:x}", keys: [{key: k, name: "${cmd:x}"}]}
logging: {file: "${cmd:x}", level: "${cmd:x}"}
"""


def test_a_command_may_stand_anywhere(run):
    Path("c.yaml").write_text(EVERYWHERE)
    for arguments in ("check", "show"):
        result = run(arguments, "-c", "c.yaml")
        assert result.exit_code == 0, result.output
    unknown = "(of a command or the keychain, not asked here)"
    data = yaml.safe_load(result.output)
    assert result.output.count(unknown) == EVERYWHERE.count("${cmd:x}")
    assert data["server"]["allowed_hosts"] == ["a.example", unknown, "b.example"]
    assert data["providers"][1]["name"] == data["routing"]["rules"][0]["use"]["model"] == unknown


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_found_file_is_used_after_its_confirmation(run, command):
    Path("ccrelay.yaml").write_text(GOOD)
    refused = run(command)
    assert refused.exit_code == 2
    assert "ccrelay config trust" in refused.output
    assert "--config ./ccrelay.yaml" in refused.output
    assert run("trust", "--yes").exit_code == 0
    assert run(command).exit_code == 0
    Path("ccrelay.yaml").write_text(GOOD + "\n")
    assert run(command).exit_code == 2


@pytest.mark.parametrize("command", ["check", "show", "trust --yes"])
@pytest.mark.parametrize("place", [".", "ccrelay.yaml"])
def test_a_file_that_others_can_write_is_refused(run, command, place):
    Path("ccrelay.yaml").write_text(TRAP)
    Path(place).chmod(0o777)
    result = run(*command.split())
    assert result.exit_code == 2
    assert "refused: " in result.output
    assert "can be written by every user (mode 0777): chmod" in result.output
    assert not Path("ran").exists()


def test_schema_prints_json(run):
    assert json.loads(run("schema").output)["title"] == "ccrelay"


def test_importing_the_command_imports_neither_yaml_nor_the_loader():
    code = (
        "import sys, ccrelay.cli.config; "
        "print([m for m in ('yaml', 'jsonschema', 'urllib.request', 'http.client', 'msgspec') "
        "if m in sys.modules])"
    )
    done = run_code(code)
    assert done.stdout == "[]\n"
