"""What mends each trouble of the ledger, for `ccrelay doctor`.

The relay tells its trouble as a sentence (`ccrelay.store.trouble`); a test has each of them here.
"""

import re
import shlex
from pathlib import Path
from typing import Any

from ccrelay.cli.doctor_report import Finding

_HELD = re.compile(r"another relay(?: \(pid (\d+)\))? writes ")


def mend_of(problem: str, path: str) -> str:
    """Return what to do about a trouble; a command where there is one.

    Args:
        problem: the sentence of `Ledger.problem`.
        path: of the ledger.
    """
    if held := _HELD.match(problem):
        end = f", or end the other relay: kill {held[1]}" if held[1] else ""
        return f"set ledger.path to a file of this relay's own{end}"
    file, folder = shlex.quote(path), shlex.quote(str(Path(path).parent))
    mends = (
        ("newer ccrelay", "pip install --upgrade ccrelay-proxy"),
        ("no space is left", f"df -h {folder}"),
        ("locked", f"fuser -v {file}        (who holds it; end that program)"),
        ("is not a file", f"mv {file} {file}.old"),
        ("cannot be made", f"ls -ld {folder}        (a file has that name: set ledger.path)"),
        ("cannot be written", f"ls -ld {folder} {file}        (the relay's user must own both)"),
        ("cannot be opened", f"ls -ld {folder} {file}        (the relay's user must own both)"),
        ("fails (", f"dmesg | tail        (errors of the disk); df -h {folder}"),
        ("damaged again", f"dmesg | tail        (errors of the disk); df -h {folder}"),
        ("a new one is begun", "ccrelay doctor        (again, in some seconds)"),
        ("no place", "set ledger.path"),
    )
    return next(
        (mend for words, mend in mends if words in problem.replace(path, "it", 1)),
        f"ls -l {file}        (or set ledger.path to another file)",
    )


def moved_aside(ledger: Any) -> list[Finding]:
    """Tell of damaged files that lie beside a ledger that works.

    Args:
        ledger: a `ccrelay.v1.Ledger`.
    """
    path = Path(ledger.path)
    try:
        found = sorted(one for one in path.parent.iterdir() if _is_aside(one.name, path.name))
    except OSError:
        return []
    if not ledger.path or not found:
        return []
    last = shlex.quote(str(found[-1]))
    more = f", and {len(found) - 1} before it" if len(found) > 1 else ""
    return [
        Finding(
            "warn",
            "ledger",
            f"a damaged one was moved aside: {found[-1]}{more}",
            "What it held is missing in usage and exchanges. Remove it, when it is not needed.",
            f"sqlite3 {last} .recover        (what is left of it)",
        )
    ]


def _is_aside(name: str, ledger: str) -> bool:
    return name.startswith(f"{ledger}.corrupt-") and not name.endswith(("-wal", "-shm"))
