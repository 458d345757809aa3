import pytest

from ccrelay.config.command_environment import command_environment, keychain_environment

PASSED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "USER": "me",
    "LANG": "C.UTF-8",
    "LC_ALL": "C",
    "GNUPGHOME": "/gnupg",
    "GPG_TTY": "/dev/pts/1",
    "SSH_AUTH_SOCK": "/run/ssh",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/bus",
    "XDG_RUNTIME_DIR": "/run/user/1",
    "PASSWORD_STORE_DIR": "/store",
    "OP_SESSION_my": "test-session-1",
    "OP_SERVICE_ACCOUNT_TOKEN": "test-session-1",
    "BW_SESSION": "test-session-1",
    "VAULT_ADDR": "https://vault.example",
    "HTTPS_PROXY": "http://proxy:3128",
    "CREDENTIALS_DIRECTORY": "/run/credentials",
    "AWS_PROFILE": "work",
}
WITHHELD = {
    "ANTHROPIC_API_KEY": "test-key-1",
    "OPENAI_API_KEY": "test-key-1",
    "RELAY_TOKEN": "test-key-1",
    "AWS_SECRET_ACCESS_KEY": "test-key-1",
    "GITHUB_TOKEN": "test-key-1",
    "NOTIFY_SOCKET": "/run/notify",
    "a_name_the_user_chose": "test-key-1",
    "PYTHONSTARTUP": "/x.py",
    "CCRELAY_CONFIG": "/x.yaml",
}


def test_a_command_gets_what_password_managers_need():
    assert command_environment(PASSED | WITHHELD, []) == PASSED


@pytest.mark.parametrize("name", ["BW_SESSION", "OP_SESSION_my", "AWS_PROFILE", "VAULT_ADDR"])
def test_what_the_configuration_itself_refers_to_is_withheld(name):
    assert name not in command_environment(PASSED, [name])


@pytest.mark.parametrize("name", ["PATH", "HOME", "USER", "LANG"])
def test_but_not_what_every_program_needs(name):
    assert name in command_environment(PASSED, [name])


def test_who_starts_the_relay_can_name_more():
    env = PASSED | WITHHELD | {"CCRELAY_CMD_ENV": "GITHUB_TOKEN, RELAY_TOKEN,,NOT_SET"}
    more = {"GITHUB_TOKEN": "test-key-1", "RELAY_TOKEN": "test-key-1"}
    assert command_environment(env, ["RELAY_TOKEN"]) == PASSED | more


def test_the_keychain_gets_the_settings_of_its_library_and_no_keys():
    env = {"PATH": "/bin", "DBUS_SESSION_BUS_ADDRESS": "x", "ZAI_API_KEY": "canary"}
    env |= {"PYTHON_KEYRING_BACKEND": "a.B", "CCRELAY_DUMPABLE": "1"}
    assert keychain_environment(env) == {k: v for k, v in env.items() if k != "ZAI_API_KEY"}
