"""`python -m bench.management.running [--streams 500] [--seconds 5]`: what it costs to be watched.

Opens streams that wait for their next event, and prints the CPU of worker, supervisor and manager,
in milliseconds per second, unwatched the exchanges under way, while one client does, and
while ten do, each as often as is allowed.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.loopback import processes
from bench.management.rig import Program, Relay, short_folder, until
from ccrelay.control.client import Client
from ccrelay.v1 import exchanges_pb2 as v1

PROMPT = "demo:deltas=2 demo:gap_ms=60000"
INTERVAL_MS = 200
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with short_folder() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o700)
        upstream = Program(folder, "mock", "mock", "--listen", "127.0.0.1:0")
        stack.callback(upstream.end)
        relay = Relay(folder, upstream.port(), is_managed=True)
        stack.callback(relay.end)
        relay.first_answer_ms()
        manager = relay.manager()
        client = Client(folder / "ccrelay" / f"{relay.listens_at}.sock")
        for sock in streams(relay.listens_at, options.streams):
            stack.callback(sock.close)
        until(lambda: told(client).total == options.streams)
        others = [pid for pid in processes.leaves(relay.process.pid) if pid != manager]
        pids = {"worker": others[0], "supervisor": relay.process.pid, "manager": manager}
        size = len(told(client).SerializeToString())
        print(f"{options.streams} streams, a message of {size:,} bytes every {INTERVAL_MS} ms")
        print(f"{'CPU, ms per second':24}" + "".join(f"{name:>12}" for name in pids))
        for watchers in (0, 1, 10):
            spent = watched(folder, client.where, watchers, pids, options.seconds)
            print(f"{f'{watchers} watching':24}" + "".join(f"{ms:12.1f}" for ms in spent))
    return 0


def streams(port: int, count: int) -> Iterator[socket.socket]:
    """Clients whose streams have begun."""
    turns = [{"role": "user", "content": PROMPT}]
    body = json.dumps(
        {"model": "claude-test-1", "max_tokens": 16, "stream": True, "messages": turns}
    ).encode()
    head = (
        "POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"x-api-key: test-key-1\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(head.encode() + body)
        yield sock


def told(client: Client) -> v1.WatchRunningResponse:
    """One message."""
    request = v1.WatchRunningRequest(interval_ms=INTERVAL_MS)
    answers = client.stream("Exchanges/WatchRunning", request, v1.WatchRunningResponse, 10.0)
    with answers:
        return next(answers)


def watched(
    folder: Path, path: str, watchers: int, pids: dict[str, int], seconds: float
) -> list[float]:
    """CPU of each process, milliseconds per second."""
    reader = None
    if watchers:
        reader = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "bench.management.watchers", path, "0", "0", str(watchers)],
            dict(os.environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, str(folder / "watchers"), os.O_CREAT | os.O_WRONLY, 0o600)
            ],
        )
        time.sleep(3.0)  # it imports, and connects
    before = [cpu_ms(pid) for pid in pids.values()]
    began = time.monotonic()
    time.sleep(seconds)
    after = [cpu_ms(pid) for pid in pids.values()]
    took = time.monotonic() - began
    if reader is not None:
        os.kill(reader, 15)
        os.waitpid(reader, 0)
    return [(end - start) / took for start, end in zip(before, after, strict=True)]


def cpu_ms(pid: int) -> float:
    """CPU of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICKS


if __name__ == "__main__":
    sys.exit(main())
