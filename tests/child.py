"""Python processes that import what the tests import: the ccrelay under test, and `tests`.

The working directory is not on their path: a checkout that is not built would stand before the
installed package.
"""

import os
import subprocess
import sys
from pathlib import Path

import ccrelay

PROGRAM = [sys.executable, "-P", "-c"]
_ROOTS = (Path(ccrelay.__file__).parents[1], Path(__file__).parents[1])


def child_environment() -> dict[str, str]:
    """The environment of such a process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _ROOTS))}


def run_code(code: str, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run such a process to its end, which must be a success; its output is text."""
    return subprocess.run(
        [*PROGRAM, code, *arguments],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout_s,
    )
