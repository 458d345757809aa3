"""A peer under test: started from its file (`spec`), woken for its turn, put to sleep, ended."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.loopback import machine, processes
from bench.loopback.spec import PEERS, Spec

ROOT = PEERS.parents[2]  # where `-m ccrelay` is found in a checkout
READY_WAIT_S = 20.0
LOG_WAIT_S = 2.0
TOKEN = "bench-relay-token"
CONNECTIONS = 12_000  # of nginx: two per stream of the largest scenario, and some

# Valid everywhere; relays may refuse a request without a model.
FIRST_BODY = (
    b'{"model":"claude-sonnet-4-5","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}'
)


@dataclass(frozen=True)
class Surroundings:
    """What all peers of a run share."""

    tmp: Path
    upstream_port: int
    upstream_tls_port: int
    nofile: int
    precautions: machine.Precautions


def _environment() -> dict[str, str]:
    """What peers inherit. A proxy is for the outside, not for loopback.

    Without PYTHONDONTWRITEBYTECODE, which CI sets: an installed package has its byte code, and a
    start would compile every module of a checkout again.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.lower().endswith("_proxy")
    } | {"CCRELAY_DUMPABLE": "1"}  # else its memory could only be measured as root


class Peer:
    """One relay. `direct` is the mock upstream itself: nothing to start."""

    def __init__(self, spec: Spec, around: Surroundings, taken: set[int]) -> None:
        self.spec = spec
        self.name = name = spec.name
        self.around = around
        self.tls = spec.tls
        self.is_direct = not spec.cmd
        self.port = around.upstream_port if self.is_direct else machine.free_port(taken)
        self.log = around.tmp / f"{name}.log"
        self._output = around.tmp / f"{name}.out"
        self.python = sys.executable
        self.root = ROOT if spec.folder == PEERS else spec.folder
        self.ready_wait_s = READY_WAIT_S
        self.end_wait_s = processes.END_WAIT_S
        self._process: subprocess.Popen[bytes] | None = None
        self.ready_leaf_kb = 0  # memory of the workers when they were ready

    @property
    def pid(self) -> int:
        """Of the running peer; 0 for `direct`."""
        return self._process.pid if self._process else 0

    @property
    def words(self) -> dict[str, str]:
        """What the words in braces stand for."""
        around = self.around
        port = around.upstream_tls_port if self.tls else around.upstream_port
        return {
            **self.spec.vars,
            "python": self.python,
            "folder": str(self.spec.folder),
            "tmp": str(around.tmp),
            "name": self.name,
            "port": str(self.port),
            "token": TOKEN,
            "conf": str(around.tmp / f"{self.name}.conf"),
            "log": str(self.log),
            "cert": str(around.tmp / "ca.pem"),
            # A URL needs the certificate's name; an address avoids ::1, where nothing listens.
            "upstream": f"https://localhost:{port}" if self.tls else f"http://127.0.0.1:{port}",
            "upstream_address": f"127.0.0.1:{port}",
            "nofile": str(around.nofile),
            "connections": str(min(CONNECTIONS, around.nofile)),
            "streams_max": str((around.nofile - 100) // 2),
            "user": "user root;" if os.geteuid() == 0 else "",
        }

    def _fill(self, text: str) -> str:
        for word, value in self.words.items():
            text = text.replace("{" + word + "}", value)
        return text

    # ---- life ----

    def spawn(self) -> None:
        """Start it on its core; it is not ready yet."""
        if self.spec.conf:
            template = (self.spec.folder / self.spec.conf).read_text()
            conf = Path(self.words["conf"])
            conf.touch(mode=0o600)  # it may hold keys, if only made-up ones
            conf.write_text(self._fill(template))
        env = _environment() | {k: self._fill(v) for k, v in self.spec.env.items()}
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [self._fill(part) for part in self.spec.cmd],
                cwd=self.root,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=machine.placed(self.around.precautions.theirs),
            )

    def start(self) -> None:
        """Start, wait until it answers, make it real-time, note its memory, put it to sleep."""
        if self.is_direct:
            return
        self.spawn()
        give_up_at = time.monotonic() + self.ready_wait_s
        while not self._is_ready():
            self._check(give_up_at)
            time.sleep(0.1)
        if self.around.precautions.realtime:
            for thread in processes.threads(self.pid):
                param = os.sched_param(machine.PEER_PRIORITY)
                os.sched_setscheduler(thread, os.SCHED_FIFO, param)
        self.ready_leaf_kb = processes.leaf_rss_kb(self.pid)
        processes.send(self.pid, signal.SIGSTOP)

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """All other peers sleep meanwhile, so that none of their timers runs."""
        if self.pid:
            processes.send(self.pid, signal.SIGCONT)
            time.sleep(0.05)
        yield
        if self.pid:
            processes.send(self.pid, signal.SIGSTOP)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process:
            processes.end(self._process, self.end_wait_s)
        self._process = None

    # ---- answers ----

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", self.spec.ready)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_for_first_answer(self) -> float:
        """The moment (monotonic, s) at which a small request has come back from the upstream."""
        head = (
            f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nx-api-key: {TOKEN}\r\n"
            "anthropic-version: 2023-06-01\r\nX-Mock: s=0,r=300\r\nConnection: close\r\n"
            f"content-type: application/json\r\ncontent-length: {len(FIRST_BODY)}\r\n\r\n"
        )
        answer = b""
        begun_at = time.monotonic()
        while True:
            address = ("127.0.0.1", self.port)
            with contextlib.suppress(OSError), socket.create_connection(address, timeout=2) as s:
                s.sendall(head.encode() + FIRST_BODY)
                answer = s.recv(65536)
                if answer.startswith(b"HTTP/1.1 200 "):
                    return time.monotonic()
            self._check(begun_at + self.ready_wait_s, answer)
            # Seldom enough not to be in the way, often enough for a resolution of one percent.
            time.sleep(max(0.0002, (time.monotonic() - begun_at) / 100))

    def _check(self, give_up_at: float, answer: bytes = b"") -> None:
        """Raise SystemExit with what the peer said, if it ended or takes too long."""
        ended = self._process is None or self._process.poll() is not None
        if not ended and time.monotonic() < give_up_at:
            return
        said = self._output.read_text(errors="replace")[-2000:]
        what = "ended" if ended else f"was not ready within {self.ready_wait_s:.0f} s"
        last = f"\nlast answer: {answer[:300].decode(errors='replace')}" if answer else ""
        raise SystemExit(f"bench: peer {self.name} {what}{last}\n{said}")

    def log_trouble(self) -> str:
        """Why this peer's figures would not count: it was to write a log line per exchange."""
        if not self.spec.logs:
            return ""
        give_up_at = time.monotonic() + LOG_WAIT_S
        with self.awake():  # a thread writes them now and then, and it was put to sleep
            while not (self.log.exists() and self.log.stat().st_size):
                if time.monotonic() > give_up_at:
                    return f"{self.name} wrote no log lines"
                time.sleep(0.05)
        return ""
