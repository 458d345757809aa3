"""The page's modules without a browser, by Node: `npm test` in ccrelay/web."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.browser.relay import PATIENCE_S

WEB = Path(__file__).parents[2] / "ccrelay" / "web"


def test_the_modules_of_the_page_pass_their_tests() -> None:
    node = shutil.which("node")
    assert node, "Node is needed to test the page's modules"
    done = subprocess.run(
        [node, "test/run.mjs"],
        cwd=WEB,
        env={"PATH": os.environ["PATH"], "TZ": "Europe/Berlin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
