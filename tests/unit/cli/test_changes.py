import json

import pytest

from ccrelay.cli.changes import report
from ccrelay.v1 import providers_pb2 as pb


def test_what_was_done_and_what_follows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    report(pb.SetEnabledResponse(), "z\x1b is disabled.", False)
    assert capsys.readouterr().out == (
        "z\\u001b is disabled.\nIt holds until the relay ends. Keep it: ccrelay overrides write. "
        "Drop it: ccrelay overrides drop\n"
    )
    report(pb.DropOverridesResponse(dropped=2), "x", True)
    assert json.loads(capsys.readouterr().out) == {"dropped": 2}
    report(pb.SetEnabledResponse(), "done.", False, hint="")
    assert capsys.readouterr().out == "done.\n"
