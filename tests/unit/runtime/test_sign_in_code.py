import io
import os
import re
import time
from pathlib import Path

from ccrelay.runtime.sign_in_code import CODE_S, make_code


def test_a_code_is_long_fits_a_url_and_ends() -> None:
    made = [make_code(io.StringIO(), {}) for _ in range(200)]
    codes = {one.code for one in made if one is not None}
    assert len(codes) == 200
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", code) for code in codes)
    one = made[-1]
    assert one is not None
    assert 0 <= time.time() + CODE_S - one.expires_at_ms / 1000 < 60


def test_none_is_written_to_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as output:
        status = os.fstat(output.fileno())
        stream = f"{status.st_dev}:{status.st_ino}"
        assert make_code(output, {"JOURNAL_STREAM": stream}) is None
        # Inherited, and the output goes elsewhere: into a file of the user.
        assert make_code(output, {"JOURNAL_STREAM": f"{status.st_dev}:1"}) is not None
        assert make_code(output, {}) is not None


def test_none_is_made_where_nothing_is_printed() -> None:
    assert make_code(None, {}) is None
