"""Generates `ccrelay/v1` from `proto/ccrelay/v1`: `python -m proto.generate [--check]`.

The generator is of an old version on purpose: protobuf loads generated code that is older than
itself and none that is newer, so this one decides the oldest that users may have. It runs in an
environment of its own, which is kept.
"""

import argparse
import difflib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "proto"
TARGET = ROOT / "ccrelay" / "v1"
REQUIREMENTS = SCHEMA / "requirements.txt"
CACHE = ROOT / ".work" / "grpcio-tools"
TOOLS = "1.71.2"  # as in requirements.txt
# For newer ones there are no wheels of that version.
PYTHONS = ((3, 11), (3, 12), (3, 13))
KINDS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")
MODULES = "; ".join(
    f"import ccrelay.v1.{path.stem}_pb2_grpc" for path in sorted(SCHEMA.rglob("*.proto"))
)


class Failed(Exception):
    """Something is missing. `str()` says what."""


def main(arguments: list[str] | None = None) -> int:
    """Generate, or compare; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m proto.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, change nothing")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="folder of the generator's environment"
    )
    options = parser.parse_args(arguments)
    try:
        python = generator(options.cache)
        with tempfile.TemporaryDirectory() as folder:
            generate(python, Path(folder))
            fresh = contents(Path(folder, "ccrelay", "v1"))
        if options.check:
            difference = compare(contents(TARGET), fresh)
            sys.stdout.write(difference)
            if difference:
                raise Failed("ccrelay/v1 is not what proto/ says: python -m proto.generate")
            load(python)
        else:
            write(fresh)
    except Failed as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    return 0


def generator(cache: Path) -> Path:
    """Return the Python that has the generator; makes its environment when it is not there."""
    python = cache / "bin" / "python"
    if not _has_tools(python):
        shutil.rmtree(cache, ignore_errors=True)
        subprocess.run([_python(), "-m", "venv", str(cache)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        command = [*install, "--require-hashes", "--only-binary=:all:", "-r", str(REQUIREMENTS)]
        if subprocess.run(command, check=False).returncode or not _has_tools(python):
            raise Failed(f"The generator could not be installed: {' '.join(command)}")
    return python


def _has_tools(python: Path) -> bool:
    code = "import importlib.metadata as m; print(m.version('grpcio-tools'))"
    try:
        found = subprocess.run([python, "-c", code], check=False, capture_output=True, text=True)
    except OSError:
        return False
    return found.stdout.strip() == TOOLS


def _python() -> str:
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for major, minor in PYTHONS:
        if found := shutil.which(f"python{major}.{minor}"):
            return found
    raise Failed("The generator needs Python 3.11, 3.12 or 3.13 on PATH.")


def generate(python: Path, folder: Path) -> None:
    """Run the generator over all of the schema."""
    files = sorted(str(path.relative_to(SCHEMA)) for path in SCHEMA.rglob("*.proto"))
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
    command = [str(python), "-m", "grpc_tools.protoc", f"-I{SCHEMA}", *outputs, *files]
    if subprocess.run(command, check=False, cwd=SCHEMA, env=_environment()).returncode:
        raise Failed("protoc failed.")


def load(python: Path) -> None:
    """Load what is committed with the oldest protobuf and grpcio; a warning is an error."""
    command = [str(python), "-W", "error", "-c", MODULES]
    if subprocess.run(command, check=False, cwd=ROOT, env=_environment()).returncode:
        raise Failed("The generated code does not load with the version that generated it.")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def contents(folder: Path) -> dict[str, str]:
    """Return the generated files of a folder."""
    return {path.name: path.read_text() for kind in KINDS for path in folder.glob(kind)}


def compare(old: dict[str, str], new: dict[str, str]) -> str:
    """Return a unified diff; empty: they are equal."""
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, ""), new.get(name, "")
        if (name in old) != (name in new):
            lines.append(f"{'missing' if name in new else 'left over'}: {name}\n")
        elif before != after:
            both = (before.splitlines(keepends=True), after.splitlines(keepends=True))
            lines += difflib.unified_diff(*both, f"committed/{name}", f"generated/{name}", n=1)
    return "".join(lines)


def write(fresh: dict[str, str]) -> None:
    """Replace what is committed; files without a schema go."""
    for name in contents(TARGET).keys() - fresh.keys():
        (TARGET / name).unlink()
    for name, text in fresh.items():
        (TARGET / name).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
