"""`ccrelay serve` over fake workers, as a process: `run_supervisor.py CONFIG_FILE ARGS...`

Prints its addresses when it is ready; ARGS are given to the workers. An upgrade runs this again.
With `-` as the file it is looked for.
"""

import re
import sys
from pathlib import Path

from ccrelay.runtime.launch import launch
from ccrelay.runtime.source import Options
from ccrelay.runtime.supervisor import WorkersFailed

FAKE_WORKER = str(Path(__file__).with_name("fake_worker.py"))


def say(text: str) -> None:
    print(*re.findall(r"http://([^ ,]+)", text.splitlines()[0]), flush=True)


def main(config: str, *arguments: str) -> int:
    command = (sys.executable, FAKE_WORKER, *arguments)
    try:
        named = None if config == "-" else Path(config)
        return launch(Options(config=named), say, lambda text: None, command)
    except WorkersFailed as error:
        print(f"failed: {error}", flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
