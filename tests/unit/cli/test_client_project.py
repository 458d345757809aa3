"""The name of a project as a header."""

import subprocess
from pathlib import Path

import pytest

from ccrelay.cli.client_project import (
    CHARACTERS_MAX,
    current_project,
    printable_ascii,
    project_name,
    with_header,
    with_project,
)


def test_it_is_the_name_of_the_repository(tmp_path: Path) -> None:
    top = tmp_path / "shop"
    inner = top / "src" / "api"
    inner.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    assert project_name(inner) == "shop"
    asked = subprocess.run(
        ["git", "-C", str(inner), "rev-parse", "--show-toplevel"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert Path(asked.stdout.strip()).name == "shop"


def test_a_worktree_has_a_file_instead(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".git").write_text("gitdir: elsewhere\n")
    assert project_name(tmp_path / "tree") == "tree"


def test_without_a_repository_it_is_the_folder(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    assert project_name(tmp_path / "notes", home=tmp_path) == "notes"


def test_home_and_root_are_no_projects(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()  # of configuration files
    (tmp_path / "notes").mkdir()
    assert project_name(tmp_path, home=tmp_path) == ""
    assert project_name(tmp_path / "notes", home=tmp_path) == "notes"
    assert project_name(Path("/")) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("payments-api", "payments-api"),
        ("My Shop", "My-Shop"),
        ("Gebühren", "Gebuhren"),
        ("日本", ""),
        ("a\nx-api-key: b", "a-x-api-key:-b"),
        ("a\x1b[31m\x7f", "a-[31m"),
        ("x" * 100, "x" * CHARACTERS_MAX),
        ("--a--", "a"),
    ],
)
def test_the_name_is_printable_ascii(name: str, expected: str) -> None:
    found = printable_ascii(name)
    assert found == expected
    assert all(33 <= ord(one) <= 126 for one in found)


def test_headers_of_the_user_stay() -> None:
    assert with_project("", "shop") == "x-ccrelay-project: shop"
    assert with_project("x-a: 1\n", "shop") == "x-a: 1\nx-ccrelay-project: shop"
    assert with_project("X-CCRelay-Project: own", "shop") == "X-CCRelay-Project: own"
    assert with_project("x-a: 1", "") == "x-a: 1"
    assert with_header("X-Api-Key: own", "x-api-key", "ours") == "X-Api-Key: own"


def test_the_folder_may_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert current_project({"HOME": str(tmp_path)}) == "gone"
    assert current_project({}) == "gone"
    folder.rmdir()
    assert current_project({}) == ""
