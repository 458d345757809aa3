"""The distribution's description agrees with the sources.

What was built is looked into by `.ci/check_dist.py`.
"""

import ast
import fnmatch
import tomllib
from pathlib import Path

import ccrelay

ROOT = Path(__file__).parents[1]
FAST = ROOT / "ccrelay" / "_fast"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SOURCES = (".pyx", ".pxd", ".pyi", ".h")


def toml(name):
    return tomllib.loads((ROOT / name).read_text())


def modules_of_setup():
    """What setup.py builds, without running it."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "MODULES":
            return ast.literal_eval(node.value)
    raise AssertionError("setup.py has no MODULES")


def test_every_cython_module_is_built():
    assert sorted(modules_of_setup()) == sorted(path.stem for path in FAST.glob("*.pyx"))


def test_every_c_source_is_linked_into_a_module():
    linked = {source for sources in modules_of_setup().values() for source in sources}
    assert linked == {"scan.c"}
    assert all((FAST / source).exists() for source in linked)


def test_the_source_distribution_has_every_file_that_a_build_needs():
    [line] = [
        line
        for line in (ROOT / "MANIFEST.in").read_text().splitlines()
        if line.startswith("recursive-include ccrelay/_fast ")
    ]
    patterns = line.split()[2:]
    needed = [path.name for path in FAST.iterdir() if path.suffix in SOURCES] + ["scan.c"]
    missing = [n for n in needed if not any(fnmatch.fnmatch(n, p) for p in patterns)]
    assert missing == []


def test_wheels_are_built_for_every_python_that_is_promised():
    project = toml("pyproject.toml")["project"]
    promised = [c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c]
    built = toml("cibuildwheel.toml")["tool"]["cibuildwheel"]["build"]
    assert promised == list(PYTHONS)
    assert project["requires-python"] == f">={PYTHONS[0]}"
    assert built == [f"cp{version.replace('.', '')}-*" for version in PYTHONS]


def test_wheels_are_built_for_both_processors_on_every_system():
    settings = toml("cibuildwheel.toml")["tool"]["cibuildwheel"]
    assert settings["linux"]["archs"] == ["x86_64", "aarch64"]
    assert settings["macos"]["archs"] == ["x86_64", "arm64"]
    images = {name: image for name, image in settings["linux"].items() if name.endswith("-image")}
    assert all(image.startswith(name.partition("-")[0]) for name, image in images.items())
    assert len(images) == 4


def test_what_the_wheels_tests_read_is_copied_to_them():
    sources = toml("cibuildwheel.toml")["tool"]["cibuildwheel"]["test-sources"]
    assert all((ROOT / name).exists() for name in sources)
    assert "ccrelay" not in sources


def test_type_checkers_find_the_annotations():
    assert (Path(ccrelay.__file__).parent / "py.typed").exists()
