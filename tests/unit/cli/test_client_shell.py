"""What a shell makes of the printed commands; the shells that are here are asked."""

import json
import os
import shlex
import shutil
import subprocess

import pytest

from ccrelay.cli.client_shell import guess_shell, render
from tests.child import PROGRAM, child_environment

VALUES = [
    "plain", "", " a  b ", "it's", 'say "x"', "$HOME `id` $(id) ${x}", "back\\slash\\'", "a\nb: c",
    "!history", "~", "*", "#x", "é\u2019s", ";exit 3", "%PATH%", "\\",
]  # fmt: skip
PROGRAMS = {
    "sh": ["sh", "bash", "dash", "zsh"],
    "fish": ["fish"],
    "powershell": ["pwsh"],
}


@pytest.mark.parametrize("program", [one for programs in PROGRAMS.values() for one in programs])
def test_a_shell_reads_the_value_back(program: str) -> None:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not here")
    shell = next(shell for shell, programs in PROGRAMS.items() if program in programs)
    variables = {f"CCRELAY_TEST_{number}": value for number, value in enumerate(VALUES)}
    script = f"{render(variables, shell)}env -0\n"
    if shell == "sh":  # as it is used
        script = f"eval \"$(cat <<'END_OF_TEXT'\n{render(variables, shell)}END_OF_TEXT\n)\"\nenv -0"
    done = subprocess.run([path, "-c", script], capture_output=True, check=True, timeout=30)
    seen = dict(one.partition("=")[::2] for one in done.stdout.decode().split("\0"))
    assert {name: seen[name] for name in variables} == variables


def test_json_is_an_object() -> None:
    variables = {"A": "it's\n", "B": ""}
    assert json.loads(render(variables, "json")) == variables


def test_quotes_of_fish_and_powershell() -> None:
    gone = [render({"A": None}, shell) for shell in ("sh", "fish", "powershell")]
    assert gone == ["unset A\n", "set -e A;\n", "Remove-Item Env:A\n"]
    assert render({"A": "it's \\ $x"}, "fish") == "set -gx A 'it\\'s \\\\ $x';\n"
    assert render({"A": "it's \u2019 $x"}, "powershell") == "$Env:A = 'it''s \u2019\u2019 $x'\n"


@pytest.mark.parametrize(
    ("shell", "parent", "expected"),
    [
        ("/usr/bin/fish", "", "fish"),
        ("/bin/zsh", "", "sh"),
        ("", "", "sh"),
        ("/opt/pwsh", "", "powershell"),
        ("/usr/bin/fish", "bash", "sh"),  # a script, or a shell in the shell
        ("/bin/bash", "fish", "fish"),
        ("/usr/bin/fish", "make", "fish"),
    ],
)
def test_the_shell_is_the_one_that_asks(shell: str, parent: str, expected: str) -> None:
    assert guess_shell({"SHELL": shell} if shell else {}, parent) == expected


def test_the_process_that_asks_is_known() -> None:
    code = "from ccrelay.cli.client_shell import parent_name; print(parent_name())"
    script = f"{shlex.join([*PROGRAM, code])}; exit"  # the shell stays: it has more to do
    done = subprocess.run(
        ["sh", "-c", script], env=child_environment(), capture_output=True, text=True, timeout=60
    )
    name = os.path.basename(os.path.realpath(shutil.which("sh") or ""))
    assert done.stdout.strip() in ("sh", name, "")  # macOS does not tell
