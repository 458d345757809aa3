"""The page writes figures, money and times as the command line does."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.cli import format_counts, format_money, format_share, format_time, words
from ccrelay.config.letters import letters
from tests.browser.door import DIST
from tests.browser.relay import PATIENCE_S

WEB = DIST.parent
ROLLDOWN = WEB / "node_modules/.bin/rolldown"
ZONE = "Europe/Berlin"
NUMBERS = [0, 1, 9, 49, 499, 500, 999, 1_000, 1_234, 4_999, 5_000, 9_999, 10_000, 12_345, 99_949,
           99_950, 999_499, 999_500, 999_949, 999_950, 1_000_000, 1_234_567, 9_994_999, 9_995_000,
           10_000_000, 99_999_999, 100_000_000, 1_031_070_000, 123_456_789_012]  # fmt: skip
SHARES = [0, 0.001, 0.004999, 0.005, 0.5, 0.944, 0.945, 0.994, 0.995, 0.9999, 1, 1.17, 12.3]
TIMES_MS = [0, 0.03, 0.5, 0.95, 0.994, 0.996, 1, 9.94, 9.96, 49, 50, 99.4, 99.6, 410, 930, 9_994,
            9_996, 23_100, 99_949, 99_951, 999_400, 999_600, 1_000_000, 3_599_000, 3_600_000,
            359_999_000, 400_000_000]  # fmt: skip
SECONDS = [0, 0.4, 1, 22, 46.2, 59, 60, 3_599, 3_600, 5_272, 86_399, 86_400, 324_000, 8_640_000]
CASES: dict[str, tuple[Callable[..., str], list[Any]]] = {
    "count": (format_counts.count, NUMBERS),
    "tokens": (format_counts.tokens, NUMBERS),
    "size": (format_counts.size, NUMBERS),
    "dollars": (format_money.dollars, [*NUMBERS, -1, -4_999, -12_345]),
    "dollarsOrNone": (format_money.dollars_or_none, NUMBERS),
    "costOfOne": (format_money.cost_of_one, [*NUMBERS, -49, -12_345]),
    "price": (format_money.price, NUMBERS),
    "percent": (format_share.percent, SHARES),
    "span": (format_time.span, SECONDS),
    "countdown": (format_time.countdown, SECONDS),
    "latency": (format_time.latency, TIMES_MS),
    "elapsed": (format_time.elapsed, TIMES_MS),
    "short": (format_time.short, TIMES_MS),
    "clock": (format_time.clock, [1_796_091_377_625, 1_783_000_000_000]),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Any]:
    """Evaluates an expression over the functions of a module of the page."""
    node = shutil.which("node")
    if node is None or not ROLLDOWN.exists():
        pytest.fail("no Node, or no npm install in ccrelay/web", pytrace=False)
    folder = tmp_path_factory.mktemp("words")

    def evaluate(module: str, expression: str) -> Any:
        out = folder / f"{Path(module).stem}.mjs"
        if not out.exists():
            build = [str(ROLLDOWN), module, "--format", "esm", "--file", str(out)]
            subprocess.run(build, cwd=WEB, check=True, capture_output=True, timeout=PATIENCE_S)
        code = (
            f"import * as m from {json.dumps(str(out))}; console.log(JSON.stringify({expression}))"
        )
        done = subprocess.run(
            [node, "--input-type=module", "-e", code],
            env={**os.environ, "TZ": ZONE},
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        return json.loads(done.stdout)

    return evaluate


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of the page."""
    monkeypatch.setenv("TZ", ZONE)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("name", CASES)
def test_figures_are_those_of_the_command_line(run: Any, name: str) -> None:
    function, values = CASES[name]
    shown = run("src/lib/format.ts", f"{json.dumps(values)}.map(one => m.{name}(one))")
    assert dict(zip(values, shown, strict=True)) == {one: function(one) for one in values}


@pytest.mark.usefixtures("zone")
def test_times_near_now(run: Any) -> None:
    now = 1_796_300_000_000
    values = [now + hours * 3_600_000 for hours in (-400, -100, -20, -1, 0, 1, 20, 100, 400, 9_000)]
    for name in ("moment", "day"):
        shown = run("src/lib/format.ts", f"{values}.map(one => m.{name}(one, {now}))")
        assert shown == [getattr(format_time, name)(one, now) for one in values]


def test_models_are_short(run: Any) -> None:
    names = ["claude-opus-5-5", "claude-haiku-4-5-20251001", "glm-5.3", "", "claude-", "a-12345678"]
    shown = run("src/lib/words.ts", f"{json.dumps(names)}.map(m.shortModel)")
    assert shown == [words.short_model(one) for one in names]


def test_commands_are_safe_to_paste(run: Any) -> None:
    import shlex

    parts = ["ccrelay", "exchanges", "--filter", "a b", "$(id)", "it's", "", "x;y", "ü", "-p"]
    line = run("src/lib/shell.ts", f"m.shell(...{json.dumps(parts)})")
    assert shlex.split(line) == [one for one in parts if one]


def test_letters_are_those_of_the_command_line(run: Any) -> None:
    names = ["anthropic", "bedrock", "azure", "a", "aa", "ünder", "zai", "9"]
    shown = run("src/lib/letters.ts", f"Object.fromEntries(m.lettersOf({json.dumps(names)}))")
    assert shown == letters(names)
