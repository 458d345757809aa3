"""A real supervisor over fake workers, as a process: `run_supervisor.py LISTEN CONFIG_JSON ARGS...`

Prints its addresses when it is ready; ARGS are given to the workers.
"""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from ccrelay.config.model import Config
from ccrelay.runtime import listeners
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.supervisor import Supervisor, WorkersFailed

FAKE_WORKER = str(Path(__file__).with_name("fake_worker.py"))


async def main(listen: str, config: Config, arguments: list[str]) -> int:
    slots = listeners.bind(listen, config.server.workers)
    addresses = listeners.addresses(slots)
    log = LogWriter(config.logging)
    supervisor = Supervisor(
        config,
        slots,
        log,
        notifier=Notifier(os.environ),
        on_ready=lambda: print(*addresses, flush=True),
        worker_command=(sys.executable, FAKE_WORKER, *arguments),
    )
    try:
        return await supervisor.run()
    except WorkersFailed as error:
        print(f"failed: {error}", flush=True)
        return 1
    finally:
        log.close()


if __name__ == "__main__":
    decoded = msgspec.json.decode(sys.argv[2], type=Config)
    sys.exit(asyncio.run(main(sys.argv[1], decoded, sys.argv[3:])))
