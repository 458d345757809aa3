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
FAKE_MANAGER = str(Path(__file__).with_name("fake_manager.py"))


def print_addresses(text: str) -> None:
    relay = next((line for line in text.splitlines() if line.startswith("  relay ")), None)
    if relay is None:  # what it says at the end
        print(text, flush=True)
        return
    print(*re.findall(r"http://([^ ,]+)", relay), flush=True)


def main(config: str, *arguments: str) -> int:
    command = (sys.executable, FAKE_WORKER, *arguments)
    try:
        named = None if config == "-" else Path(config)
        return launch(
            Options(config=named),
            print_addresses,
            lambda text: None,
            command,
            manager_command=(sys.executable, FAKE_MANAGER),
        )
    except WorkersFailed as error:
        print(f"failed: {error}", flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
