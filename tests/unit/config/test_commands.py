import pytest

from ccrelay.config.commands import Commands, Keychain, program
from ccrelay.config.expand import SecretError


def run(text: str) -> str:
    return f"output of {text}"


def test_commands_run():
    commands = Commands(run, are_run=True, known=None)
    assert commands("a b") == "output of a b"
    assert commands.seen == ["a b"]


def test_a_command_that_is_not_run_has_a_placeholder_of_its_own():
    def never(text: str) -> str:
        raise AssertionError(text)

    commands = Commands(never, are_run=False, known=None)
    outputs = [commands(text) for text in ("a", "b", "a")]
    assert outputs[0] == outputs[2] != outputs[1]
    assert all(len(output) >= 16 and output.isascii() for output in outputs)
    assert commands.seen == ["a", "b", "a"]


def test_only_known_commands_run_where_they_are_given():
    ran: list[str] = []
    commands = Commands(lambda text: ran.append(text) or "", are_run=True, known={"pass a"})
    commands("pass a")
    for text in ("pass b", "pass  a", "pass a; x"):
        with pytest.raises(SecretError, match=r'the command "pass" is new.*SIGHUP'):
            commands(text)
    assert ran == ["pass a"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("pass test-key-1", '"pass"'), ("'my prog' x", '"my prog"'), ("'x", '"?"'), ("", '""')],
)
def test_a_command_is_named_by_its_program(text, name):
    assert program(text) == name


def test_the_keychain_is_asked_or_each_entry_has_a_placeholder():
    def never(name: str) -> str:
        raise AssertionError(name)

    assert Keychain(run, is_asked=True)("a") == "output of a"
    keychain = Keychain(never, is_asked=False)
    secrets = [keychain(name) for name in ("a", "b", "a")]
    assert secrets[0] == secrets[2] != secrets[1]
    assert all(len(secret) >= 16 and secret.isascii() for secret in secrets)
