import os

import pytest

from ccrelay.runtime.processes import PATH_VARIABLE, child_environment, describe_exit

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
    "NOTIFY_SOCKET": "/run/systemd/notify",
}


def test_a_worker_gets_only_allowed_variables():
    environment = child_environment(PASSED | WITHHELD, [])
    del environment[PATH_VARIABLE]
    assert environment == PASSED


def test_a_worker_gets_the_import_path_of_its_parent():
    path = child_environment({}, ["/checkout", "/site-packages"])[PATH_VARIABLE].split(os.pathsep)
    assert path[:2] == ["/checkout", "/site-packages"]
    assert os.path.exists(os.path.join(path[2], "ccrelay", "runtime"))


@pytest.mark.parametrize(
    ("exit_code", "text"),
    [
        (0, "exit code 0"),
        (7, "exit code 7"),
        (-11, "killed by SIGSEGV"),
        (-99, "killed by signal 99"),
    ],
)
def test_describe_exit(exit_code, text):
    assert describe_exit(exit_code) == text
