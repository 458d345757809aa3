"""Measures what a client gets from a relay with one or three providers, of which the first fails.

    client -> relay -> tap -> mock provider with the fault
                    -> mock provider, when there are three
                    -> mock provider

Everything runs in this process; `Lab` checks that nothing leaks.
"""

import asyncio
import gzip
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, NamedTuple

from ccrelay.config.model import Health
from ccrelay.demo.limits import Quotas
from ccrelay.demo.script import Script
from ccrelay.demo.server import DemoServer, start_demo
from tests.client.checks import HOP, without
from tests.client.recorder import Seen, Tap
from tests.faults.kinds import Form, Kind
from tests.loopback.relay.harness import Lab, provider, routing
from tests.loopback.relay.wires import Answer, events_in, post

LIMIT_S = 20.0
TIMEOUT_S = 0.3  # of the head and between events
NAMES = ("first", "second", "third")
CODED = {b"content-encoding", b"content-length"}
RELAY_REQUEST_ID = b'"request_id":"req_ccrelay_'


class Outcome(NamedTuple):
    """The result of one request."""

    client: str  # what the client got
    status: int
    requests: tuple[int, ...]  # requests that reached each provider
    key: str  # state of the first provider's key afterwards
    breaker: str  # what its circuit breaker counted


class Providers(NamedTuple):
    """The providers of one case."""

    urls: list[str]
    demos: list[DemoServer]
    tap: Tap | None  # in front of the first; None: its port refuses connections


@cache
def measure(kind: Kind, form: Form, providers: int) -> Outcome:
    """Send one request to a fresh relay."""
    with asyncio.Runner() as runner:
        return runner.run(asyncio.wait_for(_measure(kind, form, providers), LIMIT_S))


async def _measure(kind: Kind, form: Form, providers: int) -> Outcome:
    lab = Lab()
    asyncio.get_running_loop().set_exception_handler(lambda _, c: lab.complaints.append(c))
    await lab.open()
    async with _providers(kind, providers) as upstream:
        lab.start(
            *(
                provider(url, name, [f"test-key-{name}"], type="anthropic")
                for url, name in zip(upstream.urls, NAMES, strict=False)
            ),
            routing=routing(strategy="failover", first_byte_s=TIMEOUT_S, idle_s=TIMEOUT_S),
            health=Health(probe="off"),
        )
        answer = await lab.ask(post(_body(form), headers=[(b"x-api-key", b"test-client-key")]))
        await lab.records()
        seen = upstream.tap.seen() if upstream.tap is not None else []
        outcome = Outcome(
            client=_client_got(answer, form, seen[0] if seen else None, lab),
            status=answer.status,
            requests=tuple(len(demo.requests) for demo in upstream.demos),
            key=_key(lab),
            breaker=_breaker(lab),
        )
    await lab.finish()
    return outcome


@asynccontextmanager
async def _providers(kind: Kind, providers: int) -> AsyncIterator[Providers]:
    async with AsyncExitStack() as stack:
        script = Script.parse(kind.fault or "ok")
        quotas = Quotas(send_headers=not kind.no_limit_headers)
        demos = [await start_demo(script=script, gap_ms=0, quotas=quotas)]
        demos += [await start_demo(gap_ms=0) for _ in range(providers - 1)]
        for demo in demos:
            stack.push_async_callback(demo.close)
        tap = None
        if kind.fault:
            tap = Tap(demos[0].port)
            await tap.open()
            stack.push_async_callback(tap.close)
            url = tap.url
        else:
            # Bound but not listening: the port stays reserved and refuses connections.
            closed = stack.enter_context(socket.socket())
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        yield Providers([url, *(demo.url for demo in demos[1:])], demos, tap)


def _body(form: Form) -> bytes:
    messages = [{"role": "user", "content": "Hello"}]
    body: dict[str, Any] = {"model": "claude-test-1", "max_tokens": 1000, "messages": messages}
    return json.dumps(body | {"stream": form is Form.STREAM}).encode()


# ---- what the client got


def _client_got(answer: Answer, form: Form, first: Seen | None, lab: Lab) -> str:
    """Describe the response. `first`: the exchange with the failing provider.

    Raises AssertionError unless it is a complete answer, a provider's error as sent, an error made
    by the relay, or a prefix of an answer as sent.
    """
    by = lab.sink.records[0]["provider"]
    if answer.status != 200:
        if RELAY_REQUEST_ID in answer.body:
            assert answer.error
            return f"{answer.status}, the relay's own"
        assert first is not None
        packed = dict(first.response_fields).get(b"content-encoding") == b"gzip"
        sent = gzip.decompress(first.payload) if packed else first.payload
        assert (answer.status, answer.body) == (first.status, sent)
        changed = HOP | (CODED if packed else set())  # the client did not ask for it
        assert without(answer.headers, changed) == without(first.response_fields, changed)
        return f"{answer.status} as sent, unpacked" if packed else f"{answer.status} as sent"
    if _is_whole(answer, form):
        assert b"Hello from the ccrelay demo" in _text(answer, form)
        return f"the {by}'s answer"
    assert by == "first"
    assert first is not None
    if answer.cut:
        assert first.payload.startswith(answer.body)
        assert answer.body or first.payload == b""
        return "the part that came, then the cut"
    assert form is Form.STREAM
    if answer.body == first.payload:
        return "the stream as sent"
    *_, (name, data) = events_in(answer.body)
    assert name == "error", name
    assert RELAY_REQUEST_ID not in answer.body  # an event has no id
    assert first.payload.startswith(answer.body[: answer.body.rindex(b"event: error")])
    kind = json.loads(data)["error"]["type"]
    return f"the part that came, then `{kind}`, the relay's own"


def _is_whole(answer: Answer, form: Form) -> bool:
    if answer.cut:
        return False
    if form is Form.WHOLE:
        return bool(answer.json()["type"] == "message")
    return [name for name, _ in events_in(answer.body)][-1] == "message_stop"


def _text(answer: Answer, form: Form) -> bytes:
    if form is Form.WHOLE:
        return answer.body
    return "".join(re.findall(r'"text_delta","text":"([^"]*)"', answer.body.decode())).encode()


# ---- state afterwards


def _key(lab: Lab) -> str:
    for _, name, fields in lab.sink.events:
        if name in ("key_cooldown", "key_disabled"):
            assert fields["provider"] == "first"
            return "disabled" if name == "key_disabled" else "cooldown"
    return "in use"


def _breaker(lab: Lab) -> str:
    stats = lab.relay.providers[0].endpoint.stats
    outcomes = stats.outcomes(lab.relay.reactor.now, Health().window_s)
    return {(0, 0): "nothing", (1, 0): "a success", (0, 1): "a failure"}[outcomes]
