"""The distribution's description agrees with the sources.

What was built is looked into by `.ci/check_dist.py`.
"""

import ast
import fnmatch
import importlib.util
import os
import re
import struct
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ccrelay
from ccrelay._fast import http1

ROOT = Path(__file__).parents[1]
FAST = ROOT / "ccrelay" / "_fast"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# An action's repository (and folder), a commit, and the release that the commit is.
PINNED = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PT_LOAD, PT_DYNAMIC, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 0x6474E551, 0x6474E552
PF_X, PF_W = 1, 2
DT_FLAGS, DT_FLAGS_1, DF_BIND_NOW, DF_1_NOW = 30, 0x6FFFFFFB, 8, 1
SOURCES = (".pyx", ".pxd", ".pyi", ".h")


def toml(name):
    return tomllib.loads((ROOT / name).read_text())


def workflow(path):
    return yaml.safe_load(path.read_text())


def actions():
    """Every `uses:` of a workflow but those of this repository, with the comment behind it."""
    lines = [line.strip(" -") for path in WORKFLOWS for line in path.read_text().splitlines()]
    return [line for line in lines if re.match(r"uses: (?!\./)", line)]


def modules_of_setup(table="MODULES"):
    """What setup.py builds, without running it."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        if ast.unparse(targets[0]) == table:
            return ast.literal_eval(node.value)
    raise AssertionError(f"setup.py has no {table}")


def test_every_cython_module_is_built():
    assert sorted(modules_of_setup()) == sorted(path.stem for path in FAST.glob("*.pyx"))


def test_every_module_in_pure_python_mode_is_built():
    package = ROOT / "ccrelay"
    pure = [path for path in package.rglob("*.pxd") if path.with_suffix(".py").exists()]
    names = [".".join(path.relative_to(package).with_suffix("").parts) for path in pure]
    assert sorted(modules_of_setup("COMPILED")) == sorted(names)


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
@pytest.mark.skipif(bool(os.environ.get("CCRELAY_DEBUG")), reason="a build for debugging")
def test_extensions_are_hardened():
    folder = Path(http1.__file__).parents[1]
    files = sorted(folder.rglob("*.so"))
    problems = {file.name: found for file in files if (found := elf_problems(file.read_bytes()))}
    if b"__asan_init" in Path(http1.__file__).read_bytes():
        pytest.skip("built with AddressSanitizer")
    assert files
    assert problems == {}
    # Not in each: a module without a buffer on the stack has no canary.
    guarded = [file for file in files if b"__stack_chk_fail" in file.read_bytes()]
    names = {file.name.split(".")[0] for file in guarded}
    assert {"http1", "downstream", "libssl"} <= names


def elf_problems(data):
    """What protects a shared object at run time, and is missing; see elf(5)."""
    assert data[:5] == b"\x7fELF\x02", "64 bits"
    order = "<" if data[5] == 1 else ">"
    offset, size, count = (
        struct.unpack_from(order + form, data, at)[0]
        for form, at in (("Q", 32), ("H", 54), ("H", 56))
    )
    headers = [
        struct.unpack_from(order + "IIQQQQQQ", data, offset + size * n) for n in range(count)
    ]
    flags = {kind: bits for kind, bits, *_ in headers}
    dynamic = dict(
        struct.unpack_from(order + "QQ", data, at)
        for kind, _, start, _, _, length, *_ in headers
        if kind == PT_DYNAMIC
        for at in range(start, start + length, 16)
    )
    problems = []
    if PT_GNU_RELRO not in flags:
        problems.append("no RELRO")
    if not (dynamic.get(DT_FLAGS, 0) & DF_BIND_NOW or dynamic.get(DT_FLAGS_1, 0) & DF_1_NOW):
        problems.append("no BIND_NOW")
    if flags.get(PT_GNU_STACK, PF_X) & PF_X:
        problems.append("executable stack")
    if any(kind == PT_LOAD and bits & PF_X and bits & PF_W for kind, bits, *_ in headers):
        problems.append("a segment that can be written and executed")
    return problems


def test_ci_installs_what_the_package_asks_for_and_nothing_without_a_hash():
    """`.ci/requirements.py` says how to write .ci/constraints.txt anew."""
    spec = importlib.util.spec_from_file_location("requirements", ROOT / ".ci/requirements.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (ROOT / ".ci/constraints.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    pinned = {}
    for line in lines:
        found = Requirement(line.partition("--hash")[0])
        assert re.search(r" --hash=sha256:[0-9a-f]{64}\b", line), line
        [(operator, version)] = [(part.operator, part.version) for part in found.specifier]
        assert operator == "==", line
        pinned[canonicalize_name(found.name)] = version
    for wanted in map(Requirement, module.requirements()):
        version = pinned.get(canonicalize_name(wanted.name))
        assert version is not None, f".ci/constraints.txt has no {wanted.name}"
        assert wanted.specifier.contains(version), f".ci/constraints.txt: {wanted}, not {version}"


def test_build_requirements_have_bounds_above():
    for entry in map(Requirement, toml("pyproject.toml")["build-system"]["requires"]):
        assert {"<", "<=", "==", "~="} & {part.operator for part in entry.specifier}, entry


def test_every_c_source_is_linked_into_a_module():
    linked = {source for sources in modules_of_setup().values() for source in sources}
    assert linked == {"frames.c", "scan.c"}
    assert all((FAST / source).exists() for source in linked)


def test_the_source_distribution_has_every_file_that_a_build_needs():
    [line] = [
        line
        for line in (ROOT / "MANIFEST.in").read_text().splitlines()
        if line.startswith("recursive-include ccrelay/_fast ")
    ]
    patterns = line.split()[2:]
    needed = [path.name for path in FAST.iterdir() if path.suffix in SOURCES] + [
        "frames.c",
        "scan.c",
    ]
    missing = [n for n in needed if not any(fnmatch.fnmatch(n, p) for p in patterns)]
    assert missing == []
    assert "recursive-include ccrelay *.pxd" in (ROOT / "MANIFEST.in").read_text().splitlines()


def script(name):
    """A program of `.ci` as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_as_it_was_built_belongs_to_the_package_and_its_sources_to_the_source():
    assert "web/dist/**" in toml("pyproject.toml")["tool"]["setuptools"]["package-data"]["ccrelay"]
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    assert lines.index("graft ccrelay/web") < lines.index("prune ccrelay/web/node_modules")
    check = script("check_dist")
    found = check.wheel_problems(["ccrelay/web/dist/assets/x.js", "ccrelay/web/src/x.ts"])
    assert "wheel: ccrelay/web/src/x.ts is of no kind we ship" in found
    assert not any("x.js" in problem for problem in found)
    found = check.sdist_problems(["ccrelay/web/node_modules/a/b.js"])
    assert "sdist: ccrelay/web/node_modules/a/b.js does not belong there" in found


def test_a_page_that_its_sources_are_not_built_to_is_found():
    check = script("check_web")
    same = {"index.html": b"<p>", "assets/a.js": b"1", "assets/a.svg": b"x" * 500}
    assert check.problems_of(same, dict(same)) == []
    for other in ({**same, "assets/a.js": b"2"}, {**same, "assets/b.js": b""}, {"index.html": b""}):
        assert check.problems_of(same, other)
        assert check.problems_of(other, same)
    assert check.problems_of({}, {}) == ["the build has no index.html"]
    assert check.gzip_size(same) < 60  # images come later
    assert check.gzip_size({"a.js": os.urandom(check.GZIP_MAX)}) > check.GZIP_MAX


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


def test_the_release_builds_every_wheel_that_is_configured():
    settings = toml("cibuildwheel.toml")["tool"]["cibuildwheel"]
    [release] = [workflow(path) for path in WORKFLOWS if path.name == "release.yml"]
    matrix = release["jobs"]["wheels"]["strategy"]["matrix"]
    systems = {"manylinux": "linux", "musllinux": "linux", "macosx": "macos"}
    assert [f"{python}-*" for python in matrix["python"]] == settings["build"]
    assert sorted((target["name"], target["arch"]) for target in matrix["target"]) == sorted(
        (f"{name}_{arch}", arch)
        for name, system in systems.items()
        for arch in settings[system]["archs"]
    )
    [counted] = [s["env"]["WHEELS"] for s in release["jobs"]["publish"]["steps"] if "env" in s]
    assert int(counted) == len(matrix["python"]) * len(matrix["target"])


def test_every_action_is_pinned_to_the_commit_of_a_release():
    assert actions()
    assert [line for line in actions() if not PINNED.fullmatch(line)] == []


def test_an_action_is_the_same_commit_everywhere():
    commits = {}
    for line in actions():
        name, commit = PINNED.fullmatch(line).groups()
        assert commits.setdefault(name, commit) == commit, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_only_publishing_may_prove_who_it_is(path):
    read = workflow(path)
    assert read["permissions"] == {"contents": "read"}
    given = {name: job["permissions"] for name, job in read["jobs"].items() if "permissions" in job}
    assert given.pop("publish", {"id-token": "write"}) == {"id-token": "write"}
    assert all(permissions == {"contents": "read"} for permissions in given.values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_checkout_leaves_no_credentials_behind(path):
    steps = [step for job in workflow(path)["jobs"].values() for step in job.get("steps", ())]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_the_wheels_tests_read_is_copied_to_them():
    sources = toml("cibuildwheel.toml")["tool"]["cibuildwheel"]["test-sources"]
    assert all((ROOT / name).exists() for name in sources)
    assert "ccrelay" not in sources


def test_type_checkers_find_the_annotations():
    assert (Path(ccrelay.__file__).parent / "py.typed").exists()
