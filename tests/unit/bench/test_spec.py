"""How the file of a peer is read; the peers of the bench are read, too."""

from pathlib import Path

import pytest

from bench.loopback import run, spec
from bench.loopback.scenarios import PEERS, SCENARIOS, SPECIAL
from bench.loopback.spec import Spec, SpecError

README = Path(spec.__file__).parents[1] / "README.md"


def file(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_gives_a_peer_named_after_it(tmp_path: Path):
    file(tmp_path, "listen {port}", "mine.conf")
    text = """
        cmd = ["sh", "-c", "{conf}", "--to", "{upstream}", "{mode}"]
        conf = "mine.conf"
        tls = true
        [env]
        CA = "{cert}"
        [vars]
        mode = "fast"
    """
    found = spec.foreign(file(tmp_path, text))
    assert (found.name, found.folder, found.conf) == ("mine", tmp_path, "mine.conf")
    assert found.cmd == ("sh", "-c", "{conf}", "--to", "{upstream}", "{mode}")
    assert (found.tls, found.logs, found.fails_over, found.ready) == (True, False, False, "/")
    assert (found.env, found.vars) == ({"CA": "{cert}"}, {"mode": "fast"})


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(SpecError, match=r"mine\.toml: No such file"):
        spec.foreign(tmp_path / "mine.toml")


def test_a_program_that_is_not_installed_is_named(tmp_path: Path):
    with pytest.raises(SpecError, match="the program no-such-relay is not installed"):
        spec.foreign(file(tmp_path, 'cmd = ["no-such-relay"]'))


def test_a_program_with_a_path_is_looked_for_beside_the_file(tmp_path: Path):
    path = file(tmp_path, 'cmd = ["./relay"]')
    with pytest.raises(SpecError, match=r"\./relay is not installed"):
        spec.foreign(path)
    program = file(tmp_path, "#!/bin/sh\n", "relay")
    program.chmod(0o755)
    assert spec.foreign(path).cmd == ("./relay",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cmd = [", "not TOML"),
        ("logs = true", "cmd is missing"),
        ('cmd = ["sh"]\nport = 1', "unknown field port: there are cmd, conf, ready"),
        ('cmd = "sh"', "cmd must be a list of texts"),
        ('cmd = ["sh", 8080]', "cmd must be a list of texts"),
        ('cmd = ["sh"]\ntls = "yes"', "tls must be true or false"),
        ('cmd = ["sh"]\nready = 1', "ready must be a text"),
        ('cmd = ["sh"]\n[env]\nGOMAXPROCS = 1', "env must be a table of texts"),
        ('cmd = ["sh"]\nconf = "absent.conf"', "the template absent.conf is not beside it"),
        ('cmd = ["sh", "{prot}"]', "unknown word {prot}: there are cert, conf"),
        ('cmd = ["sh"]\n[env]\nTO = "{upstrem}"', "unknown word {upstrem}"),
        ("cmd = []", "cmd is empty"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(tmp_path: Path, text: str, says: str):
    with pytest.raises(SpecError) as error:
        spec.foreign(file(tmp_path, text))
    assert str(error.value).startswith(f"{tmp_path}/mine.toml: ")
    assert says in str(error.value)


def test_several_problems_are_told_at_once(tmp_path: Path):
    with pytest.raises(SpecError, match=r"unknown field a.*unknown field b"):
        spec.read(file(tmp_path, 'cmd = ["sh"]\na = 1\nb = 2'))


def test_a_file_may_not_take_the_name_of_a_peer_of_the_bench(tmp_path: Path):
    with pytest.raises(SpecError, match="nginx is a peer of this bench"):
        spec.foreign(file(tmp_path, 'cmd = ["sh"]', "nginx.toml"))


@pytest.mark.parametrize("name", spec.names())
def test_the_files_of_the_bench_are_well_formed(name: str):
    assert spec.built_in(name).name == name


def test_a_peer_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(SpecError, match=r"no peer ngins: there are ccrelay, .*nginx_tls"):
        spec.built_in("ngins")


def test_the_peers_that_run_by_default_exist():
    assert set(PEERS) <= set(spec.names())
    assert set(PEERS) >= SPECIAL


def test_the_example_of_the_page_is_one_that_is_read(tmp_path: Path):
    page = README.read_text()
    _, found, rest = page.partition("    # my-relay.toml\n")
    assert found
    example = "\n".join(line[4:] for line in rest.partition("\n\n")[0].splitlines())
    file(tmp_path, "{}", "my-relay.json")
    assert spec.read(file(tmp_path, example)).conf == "my-relay.json"
    for name in [*spec.FIELDS, *spec.WORDS - {"python"}]:
        assert f"`{name}`" in page or f"`{{{name}}}`" in page, name


def test_a_foreign_peer_plays_where_its_tls_fits_and_in_no_scenario_of_special_peers(
    tmp_path: Path,
):
    plain, tls = (Spec(name, tmp_path, ("sh",), tls=name == "t") for name in "pt")
    playing = {
        one.name: {name for name, scenario in SCENARIOS.items() if run.plays(one, scenario)}
        for one in (plain, tls)
    }
    assert {"S1a", "S1b", "S2b", "S5", "M1"} <= playing["p"]
    assert playing["t"] == {name for name, scenario in SCENARIOS.items() if scenario.tls}
    assert not {"F1", "R1"} & (playing["p"] | playing["t"])
