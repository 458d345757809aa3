"""What commands print."""

import pytest

from ccrelay.cli.output import echo


def test_a_file_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    echo("name: \x1b[2J\u202e\nnext")
    echo("oops \x9b", err=True, nl=False)
    out, err = capsys.readouterr()
    assert out == "name: \\u001b[2J\\u202e\nnext\n"
    assert err == "oops \\u009b"
