import os

import pytest

from ccrelay.runtime.worker_environment import NEEDED_NAMES, PATH_VARIABLE, worker_environment

PASSED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "LC_ALL": "C",
    "TZ": "UTC",
    "SSL_CERT_FILE": "/ca.pem",
    "HTTPS_PROXY": "http://proxy:3128",
    "no_proxy": "localhost",
    "REQUEST_METHOD": "GET",
    "PYTHONDEVMODE": "1",
    "LD_LIBRARY_PATH": "/opt/lib",
    "CCRELAY_DEBUG": "1",
    "CCRELAY_FILE_CHECKS": "off",
    "SUDO_UID": "1000",
}
WITHHELD = {
    "ANTHROPIC_API_KEY": "test-key-1",
    "ANTHROPIC_AUTH_TOKEN": "test-key-1",
    "ZAI_API_KEY": "test-key-1",
    "a_name_the_user_chose": "test-key-1",
    "CCRELAY_CONFIG": "/etc/ccrelay.yaml",
    "CCRELAY_NO_FILE": "1",
    "CCRELAY_TOKEN": "test-key-1",
    "CCRELAY_ZAI_KEY": "test-key-1",
    "CCRELAY_ZAI": "test-key-1",
    "LC_TEAM": "test-key-1",
    "PYTHON_TEAM": "test-key-1",
    "LD_TEAM": "test-key-1",
    "ASAN_TEAM": "test-key-1",
    "DYLD_TEAM": "test-key-1",
    "NOTIFY_SOCKET": "/run/systemd/notify",
}


def test_a_worker_gets_only_allowed_variables():
    environment = worker_environment(PASSED | WITHHELD, [])
    del environment[PATH_VARIABLE]
    assert environment == PASSED


def test_a_worker_gets_the_import_path_of_its_parent():
    path = worker_environment({}, ["/checkout", "/site-packages"])[PATH_VARIABLE].split(os.pathsep)
    assert path[:2] == ["/checkout", "/site-packages"]
    assert os.path.exists(os.path.join(path[2], "ccrelay", "runtime"))


@pytest.mark.parametrize("name", sorted(PASSED))
def test_a_variable_that_the_configuration_refers_to_is_withheld_unless_the_worker_needs_it(name):
    environment = worker_environment(PASSED, [], withheld=[name, "ANTHROPIC_API_KEY"])
    assert (name in environment) == (name in NEEDED_NAMES)
    assert environment.keys() - {PATH_VARIABLE, name} == PASSED.keys() - {name}
