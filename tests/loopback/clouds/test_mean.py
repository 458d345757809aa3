"""What a client of AWS reads of a provider that is silent, and then sends anything; who leaves."""

import asyncio
import json

import pytest
from botocore.eventstream import EventStreamBuffer

from tests.loopback.clouds.clouds import cloud, issue
from tests.loopback.clouds.frames import FRAMES, HEAD, exception
from tests.loopback.relay.harness import Lab, eventually, routing
from tests.loopback.relay.scripts import Stage
from tests.loopback.relay.wires import CHUNKED_HEAD, EVENTS, MESSAGE, chunks, request, response

PATH = b"/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/"
BODY = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 8,
        "messages": [{"role": "user", "content": "hi"}],
    }
).encode()
BROKEN = FRAMES[0][:-1] + b"?"
INTERNAL, THROTTLED = "internalServerException", "throttlingException"
ENDS: dict[str, tuple[bytes, list[str]]] = {
    "frames": (HEAD + chunks(*FRAMES), ["chunk"] * len(FRAMES)),
    "events": (CHUNKED_HEAD + chunks(EVENTS), ["chunk"] * len(FRAMES)),
    "an exception": (HEAD + chunks(exception(THROTTLED, "slow down")), [THROTTLED]),
    "a broken frame": (HEAD + chunks(BROKEN), [INTERNAL]),
    "half a frame": (HEAD + chunks(FRAMES[0][:40]), [INTERNAL]),
    "no frame": (HEAD + chunks(), [INTERNAL]),
    "a page": (response(502, b"<html>"), [INTERNAL]),
    "an error": (response(500, b'{"message":"x"}'), [INTERNAL]),
    "an error in a 200": (response(200, b'{"__type":"ThrottlingException"}'), [THROTTLED]),
    "a message": (response(200, MESSAGE), ["chunk"] * 6),
}


def asked(verb: bytes) -> bytes:
    return request(b"POST", PATH + verb, [(b"content-type", b"application/json")], BODY)


def kinds(body: bytes) -> list[str]:
    """The kinds of frames that botocore reads, which are all whole."""
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    found = [
        message.headers.get(":event-type") or message.headers[":exception-type"]
        for message in buffer
    ]
    sizes, at = [], 0
    while at < len(body):
        sizes.append(int.from_bytes(body[at : at + 4], "big"))
        at += sizes[-1]
    assert (len(sizes), at) == (len(found), len(body))
    return found


@pytest.mark.parametrize("name", list(ENDS))
@pytest.mark.parametrize("has_head", [False, True])
async def test_behind_pings_everything_is_frames(lab: Lab, name: str, has_head: bool) -> None:
    wire, expected = ENDS[name]
    stage = Stage()
    lab.start(cloud("bedrock", lab.upstream(stage)), routing=routing(ping_s=0.1, early_head_s=0.1))
    issue(lab, "bedrock")
    client = await lab.client()
    await client.send(asked(b"invoke-with-response-stream"))
    peer = await stage.peer()
    if has_head and wire.startswith(HEAD):
        await peer.send(HEAD)
        wire = wire.removeprefix(HEAD)
    await client.until(b"\x04ping")
    await peer.send(wire)
    await asyncio.sleep(0.02)
    peer.close()
    answer = await client.answer()
    assert (answer.status, answer.cut) == (200, False)
    assert [kind for kind in kinds(answer.body) if kind != "ping"] == expected
    await eventually(lambda: lab.relay.reactor.account.held == 0, "memory was not given back")


WHOLE = HEAD + chunks(*FRAMES[:5], last=False)


@pytest.mark.parametrize("verb", [b"invoke", b"invoke-with-response-stream"])
@pytest.mark.parametrize("sent", [0, 10, len(HEAD) + 30, len(HEAD) + 600, 1500, len(WHOLE)])
async def test_a_client_that_leaves_at_any_byte_leaves_nothing(
    lab: Lab, verb: bytes, sent: int
) -> None:
    stage = Stage()
    lab.start(cloud("bedrock", lab.upstream(stage)))
    issue(lab, "bedrock")
    client = await lab.client()
    await client.send(asked(verb))
    peer = await stage.peer()
    if sent:
        await peer.send(WHOLE[:sent])
    await asyncio.sleep(0.02)
    client.reset()
    await eventually(lambda: not lab.relay.context.active, "an exchange was left")
    await eventually(lambda: lab.relay.reactor.account.held == 0, "memory was not given back")
