"""`ccrelay serve` with fake workers, as a process: `run_supervisor.py CONFIG_FILE ARGS...`

Prints its addresses when it is ready; ARGS are passed to the workers. An upgrade runs this script
again. With `-` as CONFIG_FILE the file is searched for.
"""

import re
import sys
from pathlib import Path

from ccrelay.runtime.launch import launch
from ccrelay.runtime.source import Options
from ccrelay.runtime.supervisor import WorkersFailed

FAKE_WORKER = str(Path(__file__).with_name("fake_worker.py"))


def print_addresses(text: str) -> None:
    print(*re.findall(r"http://([^ ,]+)", text.splitlines()[0]), flush=True)


def main(config: str, *arguments: str) -> int:
    command = (sys.executable, FAKE_WORKER, *arguments)
    try:
        named = None if config == "-" else Path(config)
        return launch(Options(config=named), print_addresses, lambda text: None, command)
    except WorkersFailed as error:
        print(f"failed: {error}", flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
