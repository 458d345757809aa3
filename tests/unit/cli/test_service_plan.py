"""What a service would run, and which variables it needs."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ccrelay.cli import service_plan as plan_module
from ccrelay.cli.service_plan import Plan, Refused, make_plan, missing_variables, print_variables

SECRET = "test-key-0123456789"
TEXT = 'providers: [{name: a, type: anthropic, keys: [{key: "${SERVICE_KEY}"}]}]\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith(("XDG_", "CCRELAY_C", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SERVICE_KEY", SECRET)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = tmp_path / ".config" / "ccrelay"
    folder.mkdir(parents=True)
    write(folder / "config.yaml", TEXT)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def plan(home: Path, file: Path | None = None, **env: str) -> Plan:
    return make_plan(file, None, {"HOME": str(home), **env})


def test_the_users_configuration_is_found(home: Path) -> None:
    made = plan(home)
    assert made.config == home / ".config" / "ccrelay" / "config.yaml"
    assert made.variables == ["SERVICE_KEY"]
    assert made.environment_file == home / ".config" / "ccrelay" / "environment"
    assert made.command()[-3:] == ["serve", "--config", str(made.config)]
    assert os.path.isabs(made.command()[0])


def test_variables_need_not_be_set_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_KEY")
    assert plan(home).variables == ["SERVICE_KEY"]


def test_no_value_is_part_of_it(home: Path) -> None:
    assert SECRET not in str(plan(home, HTTPS_PROXY=f"http://u:{SECRET}@p"))
    assert plan(home, HTTPS_PROXY="http://p").useful == ["HTTPS_PROXY"]


def test_a_relative_path_becomes_an_absolute_one(home: Path) -> None:
    write(Path("mine.yaml"), TEXT)
    assert plan(home, Path("mine.yaml")).config == home / "elsewhere" / "mine.yaml"


def test_a_file_of_the_working_directory_has_to_be_named(home: Path) -> None:
    write(Path("ccrelay.yaml"), TEXT)
    with pytest.raises(Refused, match=r"--config \./ccrelay\.yaml") as refused:
        plan(home)
    assert refused.value.code == 2
    assert plan(home, Path("ccrelay.yaml")).config == home / "elsewhere" / "ccrelay.yaml"


def test_a_file_with_mistakes_is_refused(home: Path) -> None:
    write(Path("bad.yaml"), "providers: [{name: a, type: nonsense}]\n")
    with pytest.raises(Refused, match=r"bad.yaml:1") as refused:
        plan(home, Path("bad.yaml"))
    assert refused.value.code == 2


def test_without_a_file_the_variable_is_needed(home: Path) -> None:
    (home / ".config" / "ccrelay" / "config.yaml").unlink()
    made = plan(home, ANTHROPIC_API_KEY=SECRET)
    assert (made.config, made.variables) == (None, ["ANTHROPIC_API_KEY"])
    assert made.command()[-1] == "serve"
    assert plan(home).variables == []


def test_programs_of_the_configuration_get_the_path_and_are_not_run(home: Path) -> None:
    trace = home / "ran"
    write(Path("c.yaml"), TEXT.replace("${SERVICE_KEY}", f"${{cmd:touch {trace}}}"))
    assert plan(home, Path("c.yaml"), PATH="/a:/b").path == "/a:/b"
    assert not trace.exists()
    assert plan(home, PATH="/a:/b").path == ""


def test_folders_are_those_of_this_shell(home: Path) -> None:
    made = plan(home, XDG_STATE_HOME="/s", XDG_CONFIG_HOME="relative")
    assert made.folders == {"XDG_STATE_HOME": "/s"}


def test_no_home_no_service(home: Path) -> None:
    with pytest.raises(Refused, match="HOME"):
        make_plan(home / ".config" / "ccrelay" / "config.yaml", None, {})


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("SERVICE_KEY=x\n", []),
        ("export SERVICE_KEY=x", []),
        ("# SERVICE_KEY=x", ["SERVICE_KEY"]),
        ("SERVICE_KEY=\n", ["SERVICE_KEY"]),
        ("OTHER_SERVICE_KEY=x\n", ["SERVICE_KEY"]),
        (None, ["SERVICE_KEY"]),
    ],
)
def test_variables_of_the_environment_file(
    home: Path, text: str | None, missing: list[str]
) -> None:
    made = plan(home)
    if text is not None:
        write(made.environment_file, text)
    assert missing_variables(made) == missing


def test_what_is_needed_is_said_without_values(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(home, HTTPS_PROXY=f"http://u:{SECRET}@p")
    print_variables(made)
    said = capsys.readouterr().out
    assert "SERVICE_KEY" in said
    assert "chmod 600" in said
    assert "HTTPS_PROXY" in said
    assert SECRET not in said


def test_a_file_that_others_can_read_is_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(home)
    write(made.environment_file, f"SERVICE_KEY={SECRET}\n")
    print_variables(made)
    assert capsys.readouterr().out == ""
    made.environment_file.chmod(0o644)
    print_variables(made)
    said = capsys.readouterr().out
    assert f"chmod 600 {made.environment_file}" in said
    assert SECRET not in said


@pytest.mark.parametrize("is_script", [True, False])
def test_the_program_is_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_script: bool
) -> None:
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "argv", ["-m"])
    expected: Any = [str(python), "-m", "ccrelay"]
    if is_script:
        (tmp_path / "ccrelay").write_text("")
        (tmp_path / "ccrelay").chmod(0o755)
        expected = [str(tmp_path / "ccrelay")]
    assert plan_module.find_program() == expected


def test_the_script_that_was_started_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "ccrelay"
    script.write_text("")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert plan_module.find_program() == [str(script)]
