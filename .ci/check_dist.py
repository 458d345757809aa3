"""Looks into what was built: `python .ci/check_dist.py DIST.tar.gz DIST.whl`.

Exit status 1, after a list, when something is missing or does not belong there.
"""

import fnmatch
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAST = ROOT / "ccrelay" / "_fast"
COMPILED = sorted(path.stem for path in FAST.glob("*.pyx"))
# Modules in pure Python mode, which have a `.pxd` beside them: paths below `ccrelay`, no suffix.
PURE = sorted(
    path.relative_to(ROOT / "ccrelay").with_suffix("").as_posix()
    for path in (ROOT / "ccrelay").rglob("*.pxd")
    if path.with_suffix(".py").exists()
)

# In a wheel nothing else than the package and its metadata.
WHEEL_TOPS = ("ccrelay/*", "ccrelay_proxy-*.dist-info/*")
WHEEL_KINDS = ("*.py", "*.pyi", "*.pxd", "*.so", "*/py.typed", "*.dist-info/*", "*/web/dist/*")
WEB = ROOT / "ccrelay" / "web"
# The page as it was built; its sources are in the source distribution only.
PAGE = sorted(str(path.relative_to(ROOT)) for path in (WEB / "dist").rglob("*") if path.is_file())


def wheel_problems(names: list[str]) -> list[str]:
    """What is wrong with the names of a wheel's files."""
    problems = [f"wheel: {n} does not belong there" for n in names if not _any(n, WHEEL_TOPS)]
    problems += [f"wheel: {n} is of no kind we ship" for n in names if not _any(n, WHEEL_KINDS)]
    wanted = ["ccrelay/py.typed", "*.dist-info/entry_points.txt", "*.dist-info/licenses/LICENSE"]
    wanted += [f"ccrelay/_fast/{name}.cpython-*.so" for name in COMPILED]
    wanted += [f"ccrelay/{name}.cpython-*.so" for name in PURE]
    wanted += [f"ccrelay/_fast/{path.name}" for path in FAST.glob("*.pyi")]
    wanted += [str(path.relative_to(ROOT)) for path in (ROOT / "ccrelay").rglob("*.py")] + PAGE
    return problems + [f"wheel: {w} is missing" for w in wanted if not fnmatch.filter(names, w)]


def sdist_problems(names: list[str]) -> list[str]:
    """What is wrong with the names of a source distribution's files, its folder taken off."""
    kinds = ("*.pyx", "*.pxd", "*.pyi", "*.h", "scan.c")
    wanted = [f"ccrelay/_fast/{path.name}" for kind in kinds for path in FAST.glob(kind)]
    wanted += [f"ccrelay/{name}.pxd" for name in PURE]
    wanted += ["ccrelay/py.typed", "setup.py", "pyproject.toml", "README.md", "LICENSE"]
    wanted += ["tests/test_packaging.py", "bench/__main__.py", "conftest.py"]
    wanted += [".ci/run", ".ci/constraints.txt", ".github/workflows/release.yml", *PAGE]
    sources = [path for path in (WEB / "src").rglob("*") if path.is_file()] if PAGE else []
    wanted += [str(path.relative_to(ROOT)) for path in [*sources, *WEB.glob("*.json")]]
    problems = [f"sdist: {name} is missing" for name in wanted if name not in names]
    unwanted = ("*.so", "*.pyc", "build/*", ".work/*", ".venv/*", "*/node_modules/*")
    problems += [f"sdist: {name} does not belong there" for name in names if _any(name, unwanted)]
    generated = {f"ccrelay/_fast/{name}.c" for name in COMPILED} | {f"ccrelay/{n}.c" for n in PURE}
    generated &= set(names)
    return problems + [f"sdist: {name} is written by Cython, at build time" for name in generated]


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def main() -> int:
    """Check both files; the exit status."""
    sdist, wheel = sys.argv[1:]
    with tarfile.open(sdist) as archive:
        found = [m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()]
    problems = sdist_problems(found)
    with zipfile.ZipFile(wheel) as packed:
        problems += wheel_problems(packed.namelist())
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if f"-{python}-{python}-" not in wheel:  # per version; abi3 would be slower
        problems.append(f"wheel: {Path(wheel).name} is not for {python} alone")
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    if not Path(wheel).name.startswith(name.replace("-", "_")):
        problems.append(f"wheel: {Path(wheel).name} is not called after {name}")
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    sys.stdout.write(f"{Path(sdist).name} and {Path(wheel).name}: {len(problems)} problems\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
