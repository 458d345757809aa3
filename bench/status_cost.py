"""CPU of `ccrelay status` and of the status line: the whole process, start of Python included.

    python -m bench.status_cost [--runs 20]

Starts a management API with the design's data in this process and the command as a child, and
prints best and median in milliseconds, beside a bare interpreter and the same command with imports
that it does without.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

ROWS = {
    "bare python": ["-c", "0"],
    "ccrelay --help": ["-m", "ccrelay", "--help"],
    "ccrelay statusline": ["-m", "ccrelay", "statusline"],
    "ccrelay status": ["-m", "ccrelay", "status"],
    "ccrelay status --json": ["-m", "ccrelay", "status", "--json"],
    "status, and import rich.table": [
        "-c",
        "import sys; sys.argv[1:] = ['status']\n"
        "from rich.console import Console\nfrom rich.table import Table\n"
        "from ccrelay.cli.main import main\nmain()",
    ],
    "status, and import http.client": [
        "-c",
        "import sys; sys.argv[1:] = ['status']\nimport http.client\n"
        "from ccrelay.cli.main import main\nmain()",
    ],
    "status, and import grpc": [
        "-c",
        "import sys; sys.argv[1:] = ['status']\nimport grpc\n"
        "from ccrelay.cli.main import main\nmain()",
    ],
}


def cpu_ms(arguments: list[str], env: dict[str, str]) -> float:
    """CPU of one child from its start to its end, user and system."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments],
            env,
            file_actions=[(os.POSIX_SPAWN_DUP2, nowhere, fd) for fd in (0, 1, 2)],
        )
    finally:
        os.close(nowhere)
    _, code, used = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(code) != 0:
        raise SystemExit(f"{arguments} failed")
    return (used.ru_utime + used.ru_stime) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="ccrelay-bench-") as name:
        os.environ["XDG_STATE_HOME"] = name  # read while the next line imports
        measure(Path(name), runs)


def measure(folder: Path, runs: int) -> None:
    """Run the rows in turns, and print what they took."""
    from ccrelay.control.http import HttpRequest, HttpResponse
    from tests.process.commands import environment, relay
    from tests.process.test_statusline import ANSWER

    async def session(request: HttpRequest) -> HttpResponse:
        return HttpResponse(json.dumps(ANSWER).encode(), content_type="application/json")

    with relay(folder, routes={"/statusline": session}) as served:
        env = environment(folder, CCRELAY_SOCKET=str(served.path), COLUMNS="80")
        spent: dict[str, list[float]] = {row: [] for row in ROWS}
        for number in range(runs + 1):  # the first one compiles; rows take turns
            for row, arguments in ROWS.items():
                taken = cpu_ms(arguments, env)
                if number:
                    spent[row].append(taken)
    print(f"{'CPU, ms':34}{'best':>6}{'median':>8}")
    for row, all_taken in spent.items():
        print(f"{row:34}{min(all_taken):6.0f}{statistics.median(all_taken):8.0f}")


if __name__ == "__main__":
    main()
