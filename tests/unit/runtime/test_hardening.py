import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import ccrelay
from ccrelay._fast.hardening import is_dumpable
from ccrelay.runtime.hardening import VARIABLE

SCRIPT = """
import os, resource
from ccrelay._fast.hardening import is_dumpable
from ccrelay.runtime.hardening import harden_process
before = is_dumpable()
harden_process()
with open("/proc/self/fd/%d" % os.memfd_create("x"), "r+b"):  # own descriptors stay reachable
    pass
print(before, is_dumpable(), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


def hardened(**variables):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **variables, "PYTHONPATH": str(Path(ccrelay.__file__).parents[1])},
        cwd="/",  # not that of a checkout, which is not built where a wheel is tested
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="a flag of Linux")
def test_a_hardened_process_dumps_no_core_and_is_not_traced():
    assert hardened(**{VARIABLE: ""}) == ["True", "False", "0"]


@pytest.mark.skipif(sys.platform != "linux", reason="a flag of Linux")
def test_who_debugs_can_turn_it_off():
    limit = str(resource.getrlimit(resource.RLIMIT_CORE)[0])
    assert hardened(**{VARIABLE: "1"}) == ["True", "True", limit]


def test_a_test_run_is_not_hardened_itself():
    assert is_dumpable()
