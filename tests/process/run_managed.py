"""`ccrelay serve` with real workers and the fake manager: `run_managed.py --config FILE`."""

import sys
from pathlib import Path

from ccrelay.runtime.launch import launch
from ccrelay.runtime.source import Options

FAKE_MANAGER = str(Path(__file__).with_name("fake_manager.py"))


def main(config: str) -> int:
    return launch(
        Options(config=Path(config)),
        lambda text: print(text, flush=True),
        lambda text: print(text, file=sys.stderr, flush=True),
        manager_command=(sys.executable, FAKE_MANAGER),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[2]))
