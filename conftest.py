"""Which ccrelay is tested: the checkout when it is built in place, the installed one otherwise.

`python -m pytest` puts the working directory first on the path, and a checkout without compiled
modules would hide the installed package. `tests` and `bench` are always found here.
"""

import atexit
import importlib.machinery
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
ALONE = ("client", "browser")  # by their marker


def is_built(package: Path) -> bool:
    """Whether the compiled modules for this interpreter stand beside their sources."""
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    return any((package / f"conn{suffix}").exists() for suffix in suffixes)


others = [entry for entry in sys.path if entry not in ("", str(ROOT))]
sys.path[:] = [str(ROOT), *others] if is_built(ROOT / "ccrelay" / "_fast") else [*others, str(ROOT)]


# Where processes keep the key of their fingerprints and their sockets: not in the home of who runs
# the tests.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="ccrelay-tests-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)
os.environ.pop("STATE_DIRECTORY", None)
os.environ.pop("XDG_RUNTIME_DIR", None)  # a relay would put its socket there
# Ctrl-C ends the processes that tests start, also where the tests run in the background of a shell,
# which ignores it there: what is ignored, children ignore, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests look into /proc of the processes they start, which only root may do with hardened ones.
if os.geteuid() != 0:
    os.environ.setdefault("CCRELAY_DUMPABLE", "1")


def pytest_configure() -> None:
    from hypothesis import HealthCheck, settings

    import ccrelay

    # CI tries the same examples each time; at a desk every run tries new ones. How long it takes to
    # make them up says how busy the machine is.
    repeatable = bool(os.environ.get("CCRELAY_TEST_REPEATABLE"))
    slow = [HealthCheck.too_slow]
    settings.register_profile(
        "ours", derandomize=repeatable, deadline=None, suppress_health_check=slow
    )
    settings.load_profile("ours")

    if os.environ.get("CCRELAY_TEST_INSTALLED") and ROOT in Path(ccrelay.__file__).parents:
        raise pytest.UsageError("The installed ccrelay was to be tested, not the checkout's.")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """How many processes `-n auto` starts: none where one is done sooner, or has to be alone.

    Each process collects all tests, which takes longer than most files' tests. Benchmarks, and
    tests with clients or a browser want the machine for themselves. None: as many as there are
    cores.
    """
    whole = all(
        Path(arg).is_dir() and ROOT / "bench" not in Path(arg, "x").resolve().parents
        for arg in config.args
    )
    return None if whole and config.option.markexpr not in ALONE else 0


@pytest.fixture(autouse=True)
def same_fingerprints() -> Iterator[None]:
    """A test that sets the key of fingerprints, as a starting process does, sets it for itself."""
    from ccrelay.config import fingerprint

    key = fingerprint.current_key()
    yield
    fingerprint.set_key(key)


def pytest_report_header() -> str:
    import ccrelay

    return f"ccrelay {ccrelay.__version__} from {Path(ccrelay.__file__).parent}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why tests got another chance, since the race behind it is a defect, too."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_sep("_", f"rerun: {report.nodeid} ({report.when})")
        terminalreporter.write_line(report.longreprtext)
