"""The environment of workers and manager: allow lists of names: a secret may have any name.

The credentials process alone has that of the relay: credentials are found with it.

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
# How its log may look on a terminal.
TERMINAL_NAMES = frozenset({"TERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"})
OWN_NAMES = frozenset({"CCRELAY_DEBUG", "CCRELAY_DUMPABLE", "CCRELAY_NO_SIMD"})
FILE_CHECK_NAMES = frozenset({"SUDO_UID", "CCRELAY_FILE_CHECKS"})  # for its log file
# What the worker reads itself, and the interpreter before it: not withheld.
NEEDED_NAMES = PROXY_NAMES | CERTIFICATE_NAMES | LOADER_NAMES | FILE_CHECK_NAMES
PASSED_NAMES = (
    frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR"})
    | LOCALE_NAMES
    | TERMINAL_NAMES
    | OWN_NAMES
    | NEEDED_NAMES
)

# Where the manager keeps its files, and what grpc and the OpenTelemetry SDK read themselves. The
# headers of an exporter may hold a credential; without them it could not export, and the manager
# starts no process that would inherit them.
MANAGER_NAMES = frozenset(
    {
        *("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "STATE_DIRECTORY"),
        # Where clouds are, where a file does not say it: it checks files that are to be applied.
        *("AWS_REGION", "AWS_DEFAULT_REGION", "GOOGLE_CLOUD_PROJECT"),
        *("ANTHROPIC_VERTEX_PROJECT_ID", "ANTHROPIC_GOOGLE_CLOUD_PROJECT"),
        *("GRPC_VERBOSITY", "GRPC_TRACE", "GRPC_POLL_STRATEGY"),
        *("OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
        *("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_PROPAGATORS"),
        *("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_METRIC_EXPORT_INTERVAL"),
        *("OTEL_METRIC_EXPORT_TIMEOUT", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT"),
        *("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
        *(
            f"OTEL_EXPORTER_OTLP{signal}_{setting}"
            for signal in ("", "_TRACES", "_METRICS")
            for setting in (
                *("ENDPOINT", "HEADERS", "PROTOCOL", "TIMEOUT", "COMPRESSION", "INSECURE"),
                *("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"),
            )
        ),
        *(
            f"OTEL_EXPORTER_OTLP_METRICS_{setting}"
            for setting in ("TEMPORALITY_PREFERENCE", "DEFAULT_HISTOGRAM_AGGREGATION")
        ),
    }
)


# What the libraries of AWS, Google and Azure read, secrets included: never withheld from the
# process that obtains credentials with them.
CLOUD_PREFIXES = (
    *("AWS_", "AZURE_", "GOOGLE_", "GCE_", "GCLOUD_", "CLOUDSDK_", "BOTO_"),
    *("IDENTITY_", "MSI_", "NO_GCE_CHECK"),
)


def credentials_environment(
    environ: Mapping[str, str], path: Sequence[str], withheld: Collection[str] = ()
) -> dict[str, str]:
    """The environment of the credentials process: all, but for secrets that are not the clouds'.

    Libraries and the programs that they start (`credential_process`, `az`) may read any name.
    Arguments as of `worker_environment`.
    """
    secret = {name for name in withheld if not name.startswith(CLOUD_PREFIXES)}
    secret -= {"HOME", "PATH", *NEEDED_NAMES}
    passed = {name: value for name, value in environ.items() if name not in secret}
    passed[PATH_VARIABLE] = worker_environment(environ, path)[PATH_VARIABLE]
    return passed


def manager_environment(
    environ: Mapping[str, str], path: Sequence[str], withheld: Collection[str] = ()
) -> dict[str, str]:
    """The environment of the manager: that of a worker, and MANAGER_NAMES.

    `HOME` is never withheld: the files are there. Arguments as of `worker_environment`.
    """
    names = {*MANAGER_NAMES, "HOME"}
    passed = {name: environ[name] for name in sorted(names) if name in environ}
    return worker_environment(environ, path, withheld) | passed


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
