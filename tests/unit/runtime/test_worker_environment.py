import os

import pytest

from ccrelay.config.cloud import PLACE_VARIABLES
from ccrelay.runtime.worker_environment import (
    MANAGER_NAMES,
    NEEDED_NAMES,
    PATH_VARIABLE,
    credentials_environment,
    manager_environment,
    worker_environment,
)

PASSED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "LC_ALL": "C",
    "TZ": "UTC",
    "TERM": "xterm-256color",
    "NO_COLOR": "1",
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


OF_THE_MANAGER = {
    "XDG_STATE_HOME": "/state",
    "XDG_RUNTIME_DIR": "/run/user/7",
    "STATE_DIRECTORY": "/var/lib/ccrelay",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=test-key-2",
    "OTEL_SERVICE_NAME": "relay",
}


def test_the_manager_gets_a_few_more_and_no_worker_has_them():
    strange = {"OTEL_TEAM_KEY": "test-key-1", "XDG_TEAM": "test-key-1", "GRPC_TEAM": "test-key-1"}
    environ = PASSED | WITHHELD | OF_THE_MANAGER | strange
    environment = manager_environment(environ, [])
    del environment[PATH_VARIABLE]
    assert environment == PASSED | OF_THE_MANAGER
    assert not MANAGER_NAMES & worker_environment(environ, []).keys()


def test_the_folders_of_the_manager_are_never_withheld():
    environ = PASSED | OF_THE_MANAGER
    environment = manager_environment(environ, [], withheld=["HOME", "XDG_STATE_HOME", "LANG"])
    assert environment.keys() - {PATH_VARIABLE} == environ.keys() - {"LANG"}


OF_CLOUDS = {
    "AWS_SECRET_ACCESS_KEY": "test-secret-1",
    "AWS_SESSION_TOKEN": "test-session-1",
    "AWS_PROFILE": "team",
    "GOOGLE_APPLICATION_CREDENTIALS": "/sa.json",
    "CLOUDSDK_CONFIG": "/gcloud",
    "AZURE_CLIENT_SECRET": "test-secret-2",
    "IDENTITY_HEADER": "test-header-1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
}


def test_workers_and_manager_have_nothing_of_the_clouds():
    for environment in (worker_environment(OF_CLOUDS, []), manager_environment(OF_CLOUDS, [])):
        assert environment.keys() == {PATH_VARIABLE, "HTTPS_PROXY"}


def test_the_credentials_process_has_all_but_the_keys_of_others():
    names = ["TEAM_ZAI_KEY", "AZURE_CLIENT_SECRET", "HOME", "HTTPS_PROXY"]
    environ = PASSED | OF_CLOUDS | {"TEAM_ZAI_KEY": "test-key-1", "ANY_OF_A_PROGRAM": "x"}
    environment = credentials_environment(environ, ["/checkout"], withheld=names)
    assert environment.pop(PATH_VARIABLE).startswith("/checkout")
    del environ["TEAM_ZAI_KEY"]
    assert environment == environ


def test_a_worker_gets_the_import_path_of_its_parent():
    path = worker_environment({}, ["/checkout", "/site-packages"])[PATH_VARIABLE].split(os.pathsep)
    assert path[:2] == ["/checkout", "/site-packages"]
    assert os.path.exists(os.path.join(path[2], "ccrelay", "runtime"))


@pytest.mark.parametrize("name", sorted(PASSED))
def test_a_variable_that_the_configuration_refers_to_is_withheld_unless_the_worker_needs_it(name):
    environment = worker_environment(PASSED, [], withheld=[name, "ANTHROPIC_API_KEY"])
    assert (name in environment) == (name in NEEDED_NAMES)
    assert environment.keys() - {PATH_VARIABLE, name} == PASSED.keys() - {name}


def test_the_manager_knows_where_clouds_are() -> None:
    # It checks files that are to be applied, and a region may be the environment's.
    assert PLACE_VARIABLES <= MANAGER_NAMES
    environ = dict.fromkeys(PLACE_VARIABLES, "x") | {"AWS_SECRET_ACCESS_KEY": "test-secret-1"}
    passed = manager_environment(environ, [], withheld=PLACE_VARIABLES)
    assert passed.keys() >= PLACE_VARIABLES
    assert "test-secret-1" not in passed.values()
    assert worker_environment(environ, []).keys().isdisjoint(environ)
