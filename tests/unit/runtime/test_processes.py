import pytest

from ccrelay.runtime.processes import describe_exit


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
