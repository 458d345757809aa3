"""What wheels are: `python .ci/check_wheels.py linked WHEEL`, `python .ci/check_wheels.py matrix`.

`linked` looks into the shared objects of a Linux wheel that auditwheel repaired: they need the C
library and nothing else, so nothing was vendored, and are hardened (setup.py). `matrix` asks
cibuildwheel what its configuration builds, which is to be what the release workflow asks for. Exit
status 1, after a list, otherwise.
"""

import io
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import yaml
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "cibuildwheel.toml"
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
# Parts of glibc, which every manylinux system has. OpenSSL is Python's own, reached through `ssl`.
LIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"}
LOADERS = ("ld-linux-",)
DF_BIND_NOW, DF_1_NOW, PF_X = 8, 1, 1  # elf(5)


def needed(data: bytes) -> set[str]:
    """The libraries that a shared object names (DT_NEEDED)."""
    section = ELFFile(io.BytesIO(data)).get_section_by_name(".dynamic")
    return {tag.needed for tag in section.iter_tags() if tag.entry.d_tag == "DT_NEEDED"}


def hardening_problems(data: bytes) -> list[str]:
    """What protects a shared object at run time, and is missing."""
    elf = ELFFile(io.BytesIO(data))
    flags = {
        tag.entry.d_tag: tag.entry.d_val
        for tag in elf.get_section_by_name(".dynamic").iter_tags()
        if tag.entry.d_tag in ("DT_FLAGS", "DT_FLAGS_1")
    }
    kinds = {segment["p_type"]: segment["p_flags"] for segment in elf.iter_segments()}
    problems = []
    if not (flags.get("DT_FLAGS", 0) & DF_BIND_NOW or flags.get("DT_FLAGS_1", 0) & DF_1_NOW):
        problems.append("no BIND_NOW")
    if "PT_GNU_RELRO" not in kinds:
        problems.append("no RELRO")
    if kinds.get("PT_GNU_STACK", PF_X) & PF_X:
        problems.append("an executable stack")
    return problems


def linked_problems(wheel: Path) -> list[str]:
    """What the wheel's shared objects need beside the C library."""
    problems = []
    with zipfile.ZipFile(wheel) as packed:
        names = [name for name in packed.namelist() if ".so" in Path(name).suffixes]
        if not any(b"__stack_chk_fail" in packed.read(name) for name in names):
            problems.append("no stack protector")
        for name in names:
            libraries = {n for n in needed(packed.read(name)) if not n.startswith(LOADERS)}
            problems += [f"{name} needs {n}" for n in sorted(libraries - LIBC)]
            problems += [f"{name} has {what}" for what in hardening_problems(packed.read(name))]
        problems += [f"{name} was vendored" for name in packed.namelist() if ".libs/" in name]
    if not names:
        problems.append("no shared object in it")
    if "manylinux" not in wheel.name:
        problems.append("the name says no manylinux")
    return [f"{wheel.name}: {problem}" for problem in problems]


def built() -> set[str]:
    """The identifiers that cibuildwheel derives from its configuration."""
    settings = tomllib.loads(CONFIG.read_text())["tool"]["cibuildwheel"]
    found: set[str] = set()
    for platform in ("linux", "macos"):
        command = [sys.executable, "-m", "cibuildwheel", "--platform", platform]
        command += ["--archs", ",".join(settings[platform]["archs"]), "--config-file", str(CONFIG)]
        command += ["--print-build-identifiers", str(ROOT)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found |= set(output.split())
    return found


def matrix_problems() -> list[str]:
    """How cibuildwheel.toml and the release workflow differ."""
    matrix = yaml.safe_load(RELEASE.read_text())["jobs"]["wheels"]["strategy"]["matrix"]
    wanted = {
        f"{python}-{target['name']}" for python in matrix["python"] for target in matrix["target"]
    }
    found = built()
    problems = [f"cibuildwheel.toml does not build {name}" for name in sorted(wanted - found)]
    problems += [f"the release does not build {name}" for name in sorted(found - wanted)]
    return problems if found else ["cibuildwheel builds nothing"]


def main() -> int:
    """Check what the arguments name; the exit status."""
    match sys.argv[1:]:
        case ["linked", wheel]:
            problems = linked_problems(Path(wheel))
        case ["matrix"]:
            problems = matrix_problems()
        case _:
            raise SystemExit(__doc__)
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    sys.stdout.write(f"{' '.join(sys.argv[1:2])}: {len(problems)} problems\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
