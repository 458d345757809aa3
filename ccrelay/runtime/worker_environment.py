"""The environment of a worker: an allow list of names, because a secret may have any name.

Prefixes are not allowed: users choose names such as `CCRELAY_ZAI` or `LC_TEAM_KEY`. A name that the
configuration refers to is withheld, too, unless the worker itself reads it.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

# The worker uses the parent's import path unchanged: a checkout, a venv and an editable install all
# find the same ccrelay, and -P keeps the current directory out of the path.
PATH_VARIABLE = "CCRELAY_IMPORT_PATH"

LOCALE_NAMES = frozenset(
    {
        *("LC_ALL", "LC_ADDRESS", "LC_COLLATE", "LC_CTYPE", "LC_IDENTIFICATION"),
        *("LC_MEASUREMENT", "LC_MESSAGES", "LC_MONETARY", "LC_NAME", "LC_NUMERIC", "LC_PAPER"),
        *("LC_TELEPHONE", "LC_TIME"),
    }
)
PROXY_NAMES = frozenset(
    {
        *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
        *("ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"),
        "REQUEST_METHOD",  # its presence voids HTTP_PROXY
    }
)
CERTIFICATE_NAMES = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR"})
# Without the loader's settings, and its own, the interpreter may not start.
LOADER_NAMES = frozenset(
    {
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_BIND_NOW", "LD_DEBUG"),
        *("DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES"),
        *("ASAN_OPTIONS", "ASAN_SYMBOLIZER_PATH", "LSAN_OPTIONS", "UBSAN_OPTIONS"),
        *("PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONUSERBASE", "PYTHONNOUSERSITE"),
        *("PYTHONEXECUTABLE", "PYTHONSAFEPATH", "PYTHONUTF8", "PYTHONIOENCODING"),
        *("PYTHONCOERCECLOCALE", "PYTHONMALLOC", "PYTHONMALLOCSTATS", "PYTHONHASHSEED"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED", "PYTHONWARNINGS"),
        *("PYTHONFAULTHANDLER", "PYTHONTRACEMALLOC", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE"),
        *("PYTHONOPTIMIZE", "PYTHONVERBOSE", "PYTHONPROFILEIMPORTTIME", "PYTHONPERFSUPPORT"),
        *("PYTHONINTMAXSTRDIGITS", "PYTHONNODEBUGRANGES", "PYTHON_FROZEN_MODULES"),
        *("PYTHON_CPU_COUNT", "PYTHON_GIL", "PYTHON_JIT"),
    }
)
OWN_NAMES = frozenset({"CCRELAY_DEBUG", "CCRELAY_DUMPABLE", "CCRELAY_NO_SIMD"})
FILE_CHECK_NAMES = frozenset({"SUDO_UID", "CCRELAY_FILE_CHECKS"})  # for its log file
# What the worker reads itself, and the interpreter before it: not withheld.
NEEDED_NAMES = PROXY_NAMES | CERTIFICATE_NAMES | LOADER_NAMES | FILE_CHECK_NAMES
PASSED_NAMES = (
    frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR"}) | LOCALE_NAMES | OWN_NAMES | NEEDED_NAMES
)


def worker_environment(
    environ: Mapping[str, str], path: Sequence[str], withheld: Collection[str] = ()
) -> dict[str, str]:
    """The environment of a worker: the allowed part of `environ`, and the import path.

    Args:
        environ: that of the supervisor.
        path: its import path.
        withheld: names that the configuration refers to.
    """
    passed = {name: environ[name] for name in PASSED_NAMES if name in environ}
    for name in withheld:
        if name not in NEEDED_NAMES:
            passed.pop(name, None)
    root = str(Path(__file__).parents[2])  # an editable install may not have it on the path
    passed[PATH_VARIABLE] = os.pathsep.join(dict.fromkeys([*path, root]))
    return passed
