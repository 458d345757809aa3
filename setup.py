"""Builds the Cython extensions. Everything else stands in pyproject.toml.

Environment switches (for developers; a plain build needs none):

- ``CCRELAY_EXT=json,sse``  build only the named modules of ``_fast``
- ``CCRELAY_PURE=1``        leave the modules in pure Python mode uncompiled
- ``CCRELAY_DEBUG=1``       bounds checks on, assertions on, no optimisation
- ``CCRELAY_ASAN=1``        as above, with AddressSanitizer

The C that Cython writes goes to ``build/``, a folder for each way to build, because Cython looks at
the age of its sources only: a debug build would else take over the C of an optimised one.
"""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FAST = "ccrelay/_fast"
HEADERS = [f"{FAST}/{name}.h" for name in ("libssl", "msgpack", "ring", "scan", "shared", "sock")]
# module -> C sources it is linked with, beside its own
MODULES: dict[str, list[str]] = {
    "field_names": [],
    "head_writer": [],
    "http1": [],
    "json": ["scan.c"],
    "json_items": ["scan.c"],
    "sse": [],
    "shared_memory": [],
    "asker": [],
    "record_ring": [],
    "key_pool": [],
    "rate_limits": [],
    "refusals": [],
    "endpoint_stats": [],
    "event_encoder": ["frames.c"],
    "eventstream": ["frames.c"],
    "frame_errors": ["frames.c"],
    "affinity_table": [],
    "note_table": [],
    "libssl": [],
    "log_line": [],
    "memory_account": [],
    "conn": [],
    "client_conn": [],
    "client_body": [],
    "body": [],
    "downstream": [],
    "handlers": [],
    "hardening": [],
    "listener": [],
    "outgoing": [],
    "response_writer": [],
    "row_line": [],
    "taps": [],
    "token_guard": [],
    "upstream": [],
    "usage": [],
}

# Modules in pure Python mode: the same source runs as Python and, typed by the `.pxd` beside it, as
# C. What runs per request is here.
COMPILED = [
    "fleet.breaker",
    "fleet.endpoint",
    "fleet.estimate",
    "fleet.provider_state",
    "ledger.tariff",
    "relay.access_log",
    "relay.accounting",
    "relay.affinity",
    "relay.attempt",
    "relay.client_request",
    "relay.context",
    "relay.dispatcher",
    "relay.exchange",
    "relay.exchange_base",
    "relay.exchange_bridging",
    "relay.exchange_mending",
    "relay.exchange_preparing",
    "relay.exchange_record",
    "relay.exchange_routing",
    "relay.exchange_sending",
    "relay.log_row",
    "relay.outcome",
    "relay.request_profile",
    "relay.runtime_config",
    "relay.totals",
    "routing.availability",
    "routing.candidate",
    "routing.conversation",
    "routing.retry_state",
    "routing.route_table",
    "routing.router",
    "routing.routing_request",
    "routing.selection",
    "runtime.line_writer",
    "runtime.logs",
    "upstream.pool",
]

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
# In pure Python mode types come from the `.pxd` alone: annotations are for mypy and the reader. An
# index means what it means in Python: the same source runs uncompiled.
PURE_DIRECTIVES = {
    **DIRECTIVES,
    "annotation_typing": False,
    "boundscheck": True,
    "cdivision": False,
    "nonecheck": DEBUG,
    "wraparound": True,
}
C_FOLDER = "build/cython-debug" if DEBUG else "build/cython"


def c_flags(stack_protector: str) -> tuple[list[str], list[str]]:
    """Flags for the compiler and for the linker."""
    if os.environ.get("CCRELAY_ASAN"):  # which finds more than what the flags below stop
        flags = ["-O1", "-g", "-fsanitize=address", "-fno-omit-frame-pointer", "-UNDEBUG"]
        return flags, ["-fsanitize=address"]
    if DEBUG:
        return ["-O0", "-g", "-UNDEBUG"], []
    # What goes wrong in C in spite of all tests is to end the process, and not to be a way in:
    # canaries behind buffers on the stack, checked copies, and tables of addresses that are
    # read-only after loading. Python's own flags may set a level of fortification: undefined first.
    flags = ["-O2", stack_protector, "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
    if sys.platform != "linux":
        return flags, []
    flags.append("-fno-semantic-interposition")
    return flags, ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]


def extensions() -> list[Extension]:
    """The modules to build; one whose source is not there is left out."""
    only = set(filter(None, os.environ.get("CCRELAY_EXT", "").split(","))) or set(MODULES)
    # Arrays of any kind, and variables whose address is taken.
    compile_args, link_args = c_flags("-fstack-protector-strong")
    return [
        Extension(
            f"ccrelay._fast.{name}",
            [f"{FAST}/{name}.pyx", *(f"{FAST}/{source}" for source in sources)],
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            include_dirs=[FAST],
            libraries=["dl"] if sys.platform == "linux" else [],
            depends=[*HEADERS, *(f"{FAST}/{source[:-2]}.h" for source in sources)],
        )
        for name, sources in MODULES.items()
        if name in only and os.path.exists(f"{FAST}/{name}.pyx")
    ]


def compiled() -> list[Extension]:
    """The modules in pure Python mode; none with ``CCRELAY_PURE=1``."""
    if os.environ.get("CCRELAY_PURE") or os.environ.get("CCRELAY_EXT"):
        return []
    # Arrays of characters only: these have no memory of their own, and Cython takes the address of
    # a variable in nearly every function.
    compile_args, link_args = c_flags("-fstack-protector")
    return [
        Extension(
            f"ccrelay.{name}",
            [f"ccrelay/{name.replace('.', '/')}.py"],
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            include_dirs=[FAST],
            depends=HEADERS,
        )
        for name in COMPILED
    ]


class BuildExtensions(build_ext):
    """Builds modules side by side; C sources that several are linked with are compiled before.

    Each module would else write the same object file, perhaps while another one is linked with it.
    """

    def build_extensions(self) -> None:
        """Compile shared sources, then build as usual."""
        objects: dict[str, list[str]] = {}
        for extension in self.extensions:
            shared = [source for source in extension.sources if source.startswith(f"{FAST}/")]
            for source in shared:
                if source not in objects:
                    objects[source] = self.compiler.compile(
                        [source],
                        output_dir=self.build_temp,
                        include_dirs=extension.include_dirs,
                        extra_postargs=extension.extra_compile_args,
                    )
                extension.sources.remove(source)
                extension.depends.append(source)
                extension.extra_objects += objects[source]
        super().build_extensions()


setup(
    cmdclass={"build_ext": BuildExtensions},
    ext_modules=[
        *cythonize(extensions(), compiler_directives=DIRECTIVES, build_dir=C_FOLDER),
        *cythonize(compiled(), compiler_directives=PURE_DIRECTIVES, build_dir=C_FOLDER),
    ],
    options={"build_ext": {"parallel": os.cpu_count()}},
)
