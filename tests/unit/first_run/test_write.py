"""Keys and configuration are written whole, or not at all."""

import json
import os
import stat
from pathlib import Path

import pytest

from ccrelay.config.load import load
from ccrelay.first_run import write as module
from ccrelay.first_run.check import provider_of
from ccrelay.first_run.choice import Choice, KeyStore, SetupProblem, settled
from ccrelay.first_run.write import (
    HasConfig,
    check_place,
    command_after,
    keychain_problem,
    plan,
    replace_key_file,
    write_plan,
)
from tests.child import child_environment
from tests.keychains import variables

SECRET = "test-key-of-zai"
LOGIN = Choice(type="anthropic", pass_through=True)


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A home without a keychain."""
    monkeypatch.setattr(module, "probe_ollama", lambda url: None)
    for place in reversed(child_environment()["PYTHONPATH"].split(os.pathsep)):
        monkeypatch.syspath_prepend(place)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }


def folder(env: dict[str, str]) -> Path:
    return Path(env["HOME"], ".config", "ccrelay")


def everything(env: dict[str, str]) -> list[str]:
    place = Path(env["HOME"])
    return sorted(str(one.relative_to(place)) for one in place.rglob("*") if one.is_file())


def test_a_key_goes_to_a_file_of_its_own_where_there_is_no_keychain(env: dict[str, str]) -> None:
    planned = plan([LOGIN, Choice(type="zai", key=SECRET)], env)
    assert everything(env) == []
    written = write_plan(planned, env)
    assert everything(env) == [".config/ccrelay/config.yaml", ".config/ccrelay/keys/zai"]
    for one in (folder(env) / "config.yaml", folder(env) / "keys" / "zai"):
        assert stat.S_IMODE(one.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder(env).stat().st_mode) == 0o700
    assert SECRET not in written.text
    assert SECRET not in " ".join(written.lines)
    loaded = load(env=env, cwd=Path("/nonexistent"))
    assert loaded.path == written.file
    assert [key.key for key in loaded.config.providers[1].keys] == [SECRET]
    assert command_after(written.file, env) == "ccrelay claude"


def test_a_key_goes_to_the_keychain_where_there_is_one(env: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("keyring")
    env |= variables(tmp_path)
    assert keychain_problem(env) == ""
    written = write_plan(plan([Choice(type="zai", key=SECRET)], env), env)
    assert everything(env) == [".config/ccrelay/config.yaml"]
    assert json.loads((tmp_path / "keychain.json").read_text()) == {"ccrelay/zai": SECRET}
    assert "${keyring:zai}" in written.text
    loaded = load(env=env, cwd=Path("/nonexistent"))
    assert loaded.config.providers[0].keys[0].key == SECRET


def test_a_variable_is_named_and_not_read(env: dict[str, str]) -> None:
    env["MY_KEY"] = SECRET
    written = write_plan(plan([Choice(type="zai", variable="MY_KEY")], env), env)
    assert "${MY_KEY}" in written.text
    assert SECRET not in written.text


def test_what_is_there_is_not_touched(env: dict[str, str]) -> None:
    folder(env).mkdir(parents=True)
    (folder(env) / "config.toml").write_text("mine")
    with pytest.raises(HasConfig, match=r"config\.toml"):
        plan([LOGIN], env)
    own = folder(env) / "other.yaml"
    own.write_text("mine")
    with pytest.raises(HasConfig, match=r"other\.yaml"):
        plan([LOGIN], env, own)
    assert own.read_text() == "mine"


def test_a_file_that_comes_meanwhile_wins_and_no_key_stays(env: dict[str, str]) -> None:
    planned = plan([Choice(type="zai", key=SECRET)], env)
    folder(env).mkdir(parents=True)
    (folder(env) / "config.yaml").write_text("another's")
    with pytest.raises(HasConfig):
        write_plan(planned, env)
    assert everything(env) == [".config/ccrelay/config.yaml"]
    assert (folder(env) / "config.yaml").read_text() == "another's"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_is_interrupted_leaves_nothing(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    planned = plan([Choice(type="zai", key=SECRET)], env)
    real = os.link

    def link(name: str, path: Path) -> None:
        if path.name == "config.yaml":
            raise error
        real(name, path)

    monkeypatch.setattr(os, "link", link)
    if isinstance(error, OSError):
        monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises((KeyboardInterrupt, SetupProblem)) as caught:
        write_plan(planned, env)
    monkeypatch.undo()
    assert not Path(env["HOME"]).exists()
    if isinstance(error, OSError):
        assert "No space left" in str(caught.value)


def test_a_file_system_without_hard_links_will_do(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(name: str, path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    write_plan(plan([LOGIN], env), env)
    assert stat.S_IMODE((folder(env) / "config.yaml").stat().st_mode) == 0o600
    assert [one.name for one in folder(env).iterdir()] == ["config.yaml"]

    def replace(name: str, path: Path) -> None:
        raise OSError(28, "No space left on device")

    (folder(env) / "config.yaml").unlink()
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(SetupProblem, match="No space left"):
        write_plan(plan([LOGIN], env), env)
    assert everything(env) == []  # nothing half


def test_another_keychain_entry_is_not_replaced(env: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("keyring")
    env |= variables(tmp_path)
    store = tmp_path / "keychain.json"
    store.write_text('{"ccrelay/zai": "before"}')
    written = write_plan(plan([Choice(type="zai", key=SECRET)], env), env)
    assert "${keyring:zai-2}" in written.text
    assert "`ccrelay keys set zai-2`" in written.text
    both = {"ccrelay/zai": "before", "ccrelay/zai-2": SECRET}
    assert json.loads(store.read_text()) == both
    written.undo()
    assert json.loads(store.read_text()) == {"ccrelay/zai": "before"}
    assert everything(env) == []


def test_the_same_key_in_the_keychain_is_used_and_stays(
    env: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("keyring")
    env |= variables(tmp_path)
    store = tmp_path / "keychain.json"
    store.write_text(json.dumps({"ccrelay/zai": SECRET}))
    written = write_plan(plan([Choice(type="zai", key=SECRET)], env), env)
    assert "${keyring:zai}" in written.text
    written.undo()
    assert json.loads(store.read_text()) == {"ccrelay/zai": SECRET}


def test_a_keychain_that_fails_is_a_problem(env: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("keyring")
    env |= variables(tmp_path, "locked")
    with pytest.raises(SetupProblem, match=r"The keychain is locked"):
        plan([Choice(type="zai", key=SECRET, store=KeyStore.KEYCHAIN)], env)
    assert everything(env) == []


@pytest.mark.parametrize("shared", ["", "keys"])
def test_what_a_relay_would_not_read_is_not_written(env: dict[str, str], shared: str) -> None:
    place = folder(env) / shared
    (folder(env) / "keys").mkdir(parents=True, mode=0o700)
    place.chmod(0o777)
    with pytest.raises(SetupProblem, match="can be written by every user"):
        write_plan(plan([Choice(type="zai", key=SECRET)], env), env)
    assert everything(env) == []
    env["CCRELAY_FILE_CHECKS"] = "off"
    write_plan(plan([LOGIN], env), env)


def test_no_two_keys_get_one_name(env: dict[str, str]) -> None:
    (folder(env) / "keys").mkdir(parents=True, mode=0o700)
    (folder(env) / "keys" / "zai").write_text("before")
    choices = [Choice(type="zai", key=SECRET), Choice(type="zai", key="test-key-other")]
    planned = plan(choices, env)
    names = [Path(place).name for _, place, _ in planned.keys]
    assert names == ["zai-2", "zai-2-2"]
    (folder(env) / "keys" / "zai-2").write_text("meanwhile")
    with pytest.raises(SetupProblem, match="zai-2 has come meanwhile"):
        write_plan(planned, env)


def test_another_key_file_is_not_replaced(env: dict[str, str]) -> None:
    (folder(env) / "keys").mkdir(parents=True, mode=0o700)
    (folder(env) / "keys" / "zai").write_text("before")
    written = write_plan(plan([Choice(type="zai", key=SECRET)], env), env)
    assert "${file:keys/zai-2}" in written.text
    assert (folder(env) / "keys" / "zai").read_text() == "before"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(type="compatible", key="k"), "requires a base_url"),
        (Choice(type="zai", name="a b", key="k"), "name"),
        (Choice(type="zai", base_url="nosuch://h", key="k"), "base_url"),
        (Choice(type="ollama"), "No Ollama answers"),
    ],
)
def test_an_invalid_configuration_is_not_written(
    env: dict[str, str], choice: Choice, words: str
) -> None:
    with pytest.raises(SetupProblem, match=words):
        plan([choice], env)
    assert everything(env) == []


def test_an_ollama_elsewhere_is_where_its_variable_says(env: dict[str, str]) -> None:
    env["OLLAMA_HOST"] = "gpu.example:1234"
    [choice] = settled([Choice(type="ollama", model="a:1")])
    assert provider_of(choice, "", env).base_url == "http://gpu.example:1234"
    assert 'base_url: "http://gpu.example:1234"' in plan([choice], env).text


def test_a_folder_that_cannot_be_made_is_a_problem(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupProblem, match="file: Not a directory"):
        check_place(tmp_path / "file" / "sub" / "c.yaml", env)
    if os.geteuid():
        (tmp_path / "home").mkdir(mode=0o500)
        with pytest.raises(SetupProblem, match="Permission denied"):
            plan([LOGIN], env)


def test_toml_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(SetupProblem, match="YAML"):
        plan([LOGIN], env, Path("c.toml"))


def test_a_key_file_is_replaced_at_once(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "zai"
    replace_key_file(file, "one")
    replace_key_file(file, "two")
    assert file.read_text() == "two\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["zai"]
