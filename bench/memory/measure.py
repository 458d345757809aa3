"""KB of a worker's memory per idle connection and per streaming exchange.

Idle: a client that has had one answer and keeps its connection. Streaming: an exchange whose events
come slowly, so that nothing but its own state is held. Resident memory, so kernel socket buffers
are not in it; a fresh peer each, since allocators keep what they once had.
"""

import contextlib
import socket
import time
from collections.abc import Iterator

from bench.loopback import processes
from bench.loopback.peer import FIRST_BODY, TOKEN, Peer
from bench.loopback.run import Session
from bench.loopback.scenarios import SCENARIOS

CONNECTIONS_MAX = 2000  # so that what a peer takes once is small beside what each takes
WARM_UP = "-m closed -C 16 -n 500 -B 2048 -s r=1024 -t 10"
STREAMS = "-m stream -C {n} -n {n} -s n=4,b=60,d=1000000 -t 20"
ANSWER_BYTES = 300
LEFT_OUT = SCENARIOS["F1"].only  # what an exchange holds does not depend on the target before


def measure(session: Session) -> list[dict[str, str]]:
    """One row per peer, ready to be shown."""
    rows = []
    for peer in session.peers:
        if not (peer.is_direct or peer.tls or peer.name in LEFT_OUT):
            n = min(CONNECTIONS_MAX, session.streams_max)
            idle, streaming = _idle_kb(session, peer, n), _streaming_kb(session, peer, n)
            rows.append(
                {
                    "peer": peer.name,
                    "KB per idle connection": f"{idle:.1f}",
                    "KB per streaming exchange": f"{streaming:.1f}",
                }
            )
    return rows


@contextlib.contextmanager
def _warm(session: Session, peer: Peer) -> Iterator[int]:
    """A fresh peer that has served some requests; yields its workers' memory, KB."""
    peer.spawn()
    try:
        peer.wait_for_first_answer()
        session.load(peer, WARM_UP)
        yield processes.leaf_rss_kb(peer.pid)
    finally:
        peer.stop()


def _idle_kb(session: Session, peer: Peer, n: int) -> float:
    with _warm(session, peer) as before, contextlib.ExitStack() as held:
        for _ in range(n):
            held.enter_context(_one_exchange(peer.port))
        time.sleep(0.5)
        return (processes.leaf_rss_kb(peer.pid) - before) / n


def _streaming_kb(session: Session, peer: Peer, n: int) -> float:
    with _warm(session, peer) as before:
        result = session.load(peer, STREAMS.replace("{n}", str(n)))
        if "failed" in result or any(result["errors"].values()):
            raise SystemExit(f"bench: {peer.name}: streams did not complete: {result}")
        leaf_peak_kb: int = result["peer"]["leaf_peak_kb"]
        return (leaf_peak_kb - before) / n


def _one_exchange(port: int) -> socket.socket:
    """A connection that has had its answer and stays open."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    head = (
        f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nx-api-key: {TOKEN}\r\n"
        f"anthropic-version: 2023-06-01\r\nX-Mock: s=0,r={ANSWER_BYTES}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(FIRST_BODY)}\r\n\r\n"
    )
    client.sendall(head.encode() + FIRST_BODY)
    answer = b""
    while not answer.endswith(b"}}"):  # the body is one small JSON object
        part = client.recv(65536)
        if not part:
            raise SystemExit(f"bench: the peer closed the connection: {answer[:300]!r}")
        answer += part
    return client
