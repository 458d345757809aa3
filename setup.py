"""Builds the Cython extensions of ccrelay/_fast. Everything else stands in pyproject.toml.

Environment switches (for developers; a plain build needs none):

- ``CCRELAY_EXT=json,sse``  build only the named modules
- ``CCRELAY_DEBUG=1``       bounds checks on, assertions on, no optimisation
- ``CCRELAY_ASAN=1``        as above, with AddressSanitizer

The C that Cython writes goes to ``build/``, a folder for each way to build, because Cython looks at
the age of its sources only: a debug build would else take over the C of an optimised one.
"""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

FAST = "ccrelay/_fast"
HEADERS = [f"{FAST}/{name}.h" for name in ("libssl", "ring", "scan", "shared", "sock")]
# module -> C sources it is linked with, beside its own
MODULES: dict[str, list[str]] = {
    "http1": [],
    "json": ["scan.c"],
    "sse": [],
    "board": [],
    "slots": [],
    "pulse": [],
    "places": [],
    "libssl": [],
    "conn": [],
    "body": [],
    "downstream": [],
    "listener": [],
    "outgoing": [],
    "taps": [],
    "upstream": [],
}

DEBUG = bool(os.environ.get("CCRELAY_DEBUG") or os.environ.get("CCRELAY_ASAN"))
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
    "embedsignature.format": "python",
}


def c_flags() -> tuple[list[str], list[str]]:
    """Flags for the compiler and for the linker."""
    if os.environ.get("CCRELAY_ASAN"):
        flags = ["-O1", "-g", "-fsanitize=address", "-fno-omit-frame-pointer", "-UNDEBUG"]
        return flags, ["-fsanitize=address"]
    if DEBUG:
        return ["-O0", "-g", "-UNDEBUG"], []
    return ["-O2", "-fno-semantic-interposition"] if sys.platform == "linux" else ["-O2"], []


def extensions() -> list[Extension]:
    """The modules to build; one whose source is not there is left out."""
    only = set(filter(None, os.environ.get("CCRELAY_EXT", "").split(","))) or set(MODULES)
    compile_args, link_args = c_flags()
    return [
        Extension(
            f"ccrelay._fast.{name}",
            [f"{FAST}/{name}.pyx", *(f"{FAST}/{source}" for source in sources)],
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            include_dirs=[FAST],
            libraries=["dl"] if sys.platform == "linux" else [],
            depends=HEADERS,
        )
        for name, sources in MODULES.items()
        if name in only and os.path.exists(f"{FAST}/{name}.pyx")
    ]


setup(
    ext_modules=cythonize(
        extensions(),
        compiler_directives=DIRECTIVES,
        build_dir="build/cython-debug" if DEBUG else "build/cython",
    ),
    options={"build_ext": {"parallel": os.cpu_count()}},
)
