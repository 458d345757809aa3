"""What the credentials process costs: time to the first credential, and memory.

    python -m bench.credentials_cost [--runs 5]

Starts the process as the supervisor does, with one entry of each cloud whose source is on loopback,
and prints the median of milliseconds from its start, and the memory that it has then. Linux.
"""

import argparse
import os
import select
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ccrelay.config.model import Credential
from ccrelay.runtime.control import Decoder, send_first
from ccrelay.runtime.credentials_link import (
    CLOUD_OF,
    CredentialEntry,
    CredentialsReady,
    CredentialsStart,
    FromCredentials,
    Issued,
)
from ccrelay.runtime.processes import PreforkedWorkers, WorkerProcess

LIMIT_S = 60.0
READ_BYTES = 65_536


class Cost(NamedTuple):
    """Milliseconds until it was ready and until the first credential, memory in MB."""

    ready_ms: float
    first_ms: float
    memory_mb: float


def entry(cloud: str, credential: Credential) -> CredentialEntry:
    found = next(one for one in CLOUD_OF.values() if one == cloud)
    return CredentialEntry(cloud, "credential:{}", "", found, "us-east-1", credential)


def messages(process: WorkerProcess) -> Iterator[FromCredentials]:
    decoder: Decoder[FromCredentials] = Decoder(FromCredentials)
    ends_at = time.monotonic() + LIMIT_S
    while time.monotonic() < ends_at:
        select.select([process.control], [], [], 1.0)
        try:
            data = process.control.recv(READ_BYTES)
        except BlockingIOError:
            continue
        if not data:
            return
        decoder.receive(data)
        while (message := decoder.next_message()) is not None:
            yield message


def measure(entries: list[CredentialEntry]) -> Cost:
    """Start one process and wait for all its credentials."""
    began = time.perf_counter()
    process = PreforkedWorkers().spawn_credentials()
    process.control.setblocking(False)
    try:
        send_first(process.control, CredentialsStart(entries), [])
        ready_ms, missing = 0.0, {one.provider for one in entries}
        for message in messages(process):
            if isinstance(message, CredentialsReady):
                ready_ms = (time.perf_counter() - began) * 1000.0
            if isinstance(message, Issued):
                for issued in message.issued:
                    assert issued.secret is not None, issued.error
                    missing.discard(issued.provider)
            if not missing and ready_ms:
                break
        assert not missing, f"nothing came for {missing}"
        return Cost(ready_ms, (time.perf_counter() - began) * 1000.0, memory_mb(process.pid))
    finally:
        process.close()


def memory_mb(pid: int) -> float:
    """Pss: what it would take less without the process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024.0
    return 0.0


def main() -> None:
    """Print a row per cloud, and one with all of them."""
    from tests.unit.credentials.services import Service, container, entra, google_tokens
    from tests.unit.credentials.test_google import workload

    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    services = [Service(container()), Service(google_tokens()), Service(entra())]
    aws, google, azure = services
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "NO_PROXY": "127.0.0.1",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{aws.url}/creds",
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.url,
        }
        file = workload(Path(folder), google.url)
        entries = {
            "none": [],
            "aws, container": [entry("aws", Credential(source="container"))],
            "google, workload identity": [entry("google", Credential(file=file))],
            "azure, managed identity": [entry("azure", Credential(source="metadata"))],
        }
        entries["all three"] = [one for row in entries.values() for one in row]
        print(f"{'':28}{'ready ms':>10}{'first ms':>10}{'MB':>8}")
        for name, row in entries.items():
            costs = [measure(row) for _ in range(runs)]
            ready, first, memory = (statistics.median(one) for one in zip(*costs, strict=True))
            print(f"{name:28}{ready:10.0f}{first:10.0f}{memory:8.1f}")
    for service in services:
        service.close()


if __name__ == "__main__":
    main()
