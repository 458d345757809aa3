"""The check of `ccrelay doctor` that an answer streams: one request through the relay itself."""

import http.client
import json
import time
from collections.abc import Sequence

from ccrelay.cli.doctor_report import Finding

LIMIT_S = 12.0
TOKENS = 64  # enough for an answer that takes a moment
READ_BYTES = 65_536
AT_ONCE_S = 0.02  # events closer together came together, as far as this clock says


def check_streaming(address: str, model: str, credential: str) -> list[Finding]:
    """Send one streaming request and look when its events come.

    Args:
        address: of the relay, HOST:PORT.
        model: to ask for.
        credential: relay token, or whatever the relay accepts.
    """
    try:
        return [_judge(*_times(address, model, credential))]
    except (OSError, http.client.HTTPException) as error:
        return [Finding("FAIL", "streaming", f"the request broke off: {error}")]


def _times(address: str, model: str, credential: str) -> tuple[int, list[float], bytes]:
    """Return status, the times of the reads since the request, and the whole body."""
    host, _, port = address.rpartition(":")
    body = json.dumps(
        {
            "model": model,
            "max_tokens": TOKENS,
            "stream": True,
            "messages": [{"role": "user", "content": "Count from one to thirty, in words."}],
        }
    )
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=LIMIT_S)
    try:
        headers = {
            "content-type": "application/json",
            "anthropic-version": "2023-06-01",
            "x-api-key": credential,
        }
        began_at = time.monotonic()
        connection.request("POST", "/v1/messages", body, headers)
        response = connection.getresponse()
        times, received = [], b""
        while piece := response.read1(READ_BYTES):
            times.append(time.monotonic() - began_at)
            received += piece
            if times[-1] > LIMIT_S:
                break
        return response.status, times, received
    finally:
        connection.close()


def _judge(status: int, times: Sequence[float], body: bytes) -> Finding:
    if status != 200:
        return Finding("FAIL", "streaming", f"the request was answered with {status}")
    if b"message_stop" not in body:
        return Finding("FAIL", "streaming", "the answer broke off before its end")
    first, last = times[0], times[-1]
    if last - first > AT_ONCE_S:
        text = f"first event after {first:.2f} s, end after {last:.2f} s"
        return Finding("ok", "streaming", text)
    return Finding(
        "warn",
        "streaming",
        f"the whole answer came at once, after {last:.2f} s",
        "Something between the relay and the provider, or the provider, holds it back to the end.",
    )
