import os
import stat
import threading
from pathlib import Path

import pytest

from ccrelay.control.token_file import FILE, TokenProblem, load_token, read_token, token_path

TOKEN = "a" * 43


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    os.chmod(tmp_path, 0o700)
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def write(env: dict[str, str], text: str, mode: int = 0o600) -> Path:
    path = token_path(env)
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_it_is_made_once(env: dict[str, str]) -> None:
    token = load_token(env)
    path = token_path(env)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(token) == 43
    assert load_token(env) == token
    assert os.listdir(path.parent) == [FILE]
    path.unlink()
    assert load_token(env) != token


def test_of_many_that_start_one_makes_it(env: dict[str, str]) -> None:
    tokens: list[str] = []
    threads = [threading.Thread(target=lambda: tokens.append(load_token(env))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 8
    assert len(set(tokens)) == 1
    assert os.listdir(token_path(env).parent) == [FILE]


def test_places() -> None:
    assert token_path({"STATE_DIRECTORY": "/s:/t", "HOME": "/h"}) == Path("/s", FILE)
    assert token_path({"XDG_STATE_HOME": "/x", "HOME": "/h"}) == Path("/x/ccrelay", FILE)
    assert token_path({"XDG_STATE_HOME": "x", "HOME": "/h"}) == Path(
        "/h/.local/state/ccrelay", FILE
    )
    with pytest.raises(TokenProblem, match="set HOME"):
        load_token({})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o610])
def test_a_file_that_others_can_read_is_refused(env: dict[str, str], mode: int) -> None:
    path = write(env, TOKEN, mode)
    with pytest.raises(TokenProblem, match=f"chmod 600 {path}"):
        load_token(env)
    path.chmod(0o600)
    assert load_token(env) == TOKEN


def test_a_file_that_others_can_write_is_refused(env: dict[str, str]) -> None:
    write(env, TOKEN, 0o602)
    with pytest.raises(TokenProblem, match="chmod o-w"):
        load_token(env)


def test_checks_can_be_switched_off(env: dict[str, str]) -> None:
    write(env, TOKEN, 0o644)
    assert load_token(env | {"CCRELAY_FILE_CHECKS": "off"}) == TOKEN


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 31, "b\u00fc" * 40, "a b" * 20, "a" * 600, "a" * 32 + "\nb"]
)
def test_what_is_no_token_is_refused_and_not_shown(env: dict[str, str], text: str) -> None:
    write(env, text)
    with pytest.raises(TokenProblem) as caught:
        load_token(env)
    assert "rm " in str(caught.value)
    assert not text or text not in str(caught.value)


def test_a_person_may_choose_one(env: dict[str, str]) -> None:
    write(env, "Zz09._~+/=-" * 4 + "\n")
    assert load_token(env) == "Zz09._~+/=-" * 4


def test_what_is_no_file_is_refused(env: dict[str, str]) -> None:
    path = token_path(env)
    path.parent.mkdir(parents=True, mode=0o700)
    os.mkfifo(path, 0o600)
    with pytest.raises(TokenProblem, match="not a regular file"):
        load_token(env)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(TokenProblem):
        load_token(env)


def test_a_folder_that_cannot_be_made_is_said(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(TokenProblem, match="management-token"):
        load_token(env)


def test_reading_makes_nothing(env: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError):
        read_token(token_path(env), env)
    assert not token_path(env).exists()
