"""Probes of a provider on loopback: what came, in words."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from ccrelay.v1 import providers_pb2 as v1
from tests.loopback.manager.rig import CONFIG, refused, rig, run
from tests.loopback.relay.harness import eventually

MESSAGE = {
    "type": "message",
    "content": [],
    "usage": {"input_tokens": 1000, "output_tokens": 1},
}
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


class Upstream:
    """Answers every request alike, and keeps what came."""

    def __init__(self, status: int, body: bytes, delay_s: float = 0.0) -> None:
        self.status = status
        self.body = body
        self.delay_s = delay_s
        self.may_answer: asyncio.Event | None = None
        self.seen: list[bytes] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.seen.append(head + await reader.readexactly(length))
        await asyncio.sleep(self.delay_s)
        if self.may_answer is not None:
            await self.may_answer.wait()
        writer.write(b"HTTP/1.1 %d X\r\nconnection: close\r\n" % self.status)
        writer.write(b"content-length: %d\r\n\r\n" % len(self.body) + self.body)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self.answer(reader, writer)
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()


async def asked(
    folder: Path, upstream: Upstream, text: str = CONFIG, **request: Any
) -> v1.ProbeResponse:
    async with upstream.serving() as port, rig(folder, text.replace(":9", f":{port}")) as made:
        answer: v1.ProbeResponse = await made.providers.Probe(v1.ProbeRequest(**request))
        return answer


def test_connect_needs_no_answer(tmp_path: Path) -> None:
    answer = run(asked(tmp_path, Upstream(200, b""), provider="one"))
    assert answer.ok
    assert answer.status == 0
    assert answer.message.startswith("Connected to 127.0.0.1:")
    assert answer.latency_ms > 0


def test_nothing_listens(tmp_path: Path) -> None:
    async def main() -> v1.ProbeResponse:
        async with rig(tmp_path) as made:
            return await made.providers.Probe(v1.ProbeRequest(provider="one"))  # type: ignore[no-any-return]

    answer = run(main())
    assert not answer.ok
    assert "Cannot reach" in answer.message
    assert "Check the base URL" in answer.message


def test_tokens_are_counted_with_the_key_that_is_named(tmp_path: Path) -> None:
    upstream = Upstream(200, b'{"input_tokens": 9}')
    answer = run(
        asked(
            tmp_path,
            upstream,
            provider="one",
            key="b",
            kind=v1.PROBE_KIND_COUNT_TOKENS,
            model="claude-sonnet-4-5",
        )
    )
    assert answer.ok
    assert (answer.status, answer.model) == (200, "claude-sonnet-4-5")
    assert answer.message == "one accepts the key, and counted 9 tokens."
    (seen,) = upstream.seen
    assert seen.startswith(b"POST /v1/messages/count_tokens HTTP/1.1\r\n")
    assert b"x-api-key: sk-test-b\r\n" in seen


def test_a_message_costs_one_token(tmp_path: Path) -> None:
    upstream = Upstream(200, json.dumps(MESSAGE).encode())
    answer = run(
        asked(
            tmp_path,
            upstream,
            provider="one",
            kind=v1.PROBE_KIND_MESSAGE,
            model="claude-sonnet-4-5",
        )
    )
    assert answer.ok
    assert b'"max_tokens":1' in upstream.seen[0]
    assert answer.cost_micros == 1000 * 3 + 15


def test_a_refusal_is_told_with_its_status(tmp_path: Path) -> None:
    """What else can come: tests/unit/probing/test_verdict.py."""
    upstream = Upstream(429, b'{"error":{"message":"slow down"}}')
    answer = run(asked(tmp_path, upstream, provider="one", kind=v1.PROBE_KIND_MESSAGE, model="m"))
    assert (answer.ok, answer.status) == (False, 429)
    assert answer.message.startswith("one accepts the key, and limits it now")


def test_an_answer_that_never_ends_is_cut(tmp_path: Path) -> None:
    answer = run(
        asked(
            tmp_path,
            Upstream(500, b"x" * 5_000_000),
            provider="one",
            kind=v1.PROBE_KIND_MESSAGE,
            model="m",
        )
    )
    assert answer.status == 500


def test_a_silent_provider_is_waited_for_so_long(tmp_path: Path) -> None:
    text = CONFIG + "health: {probe_timeout_s: 0.3}\n"
    request = {"provider": "one", "kind": v1.PROBE_KIND_COUNT_TOKENS, "model": "m"}
    answer = run(asked(tmp_path, Upstream(200, b"{}", 30), text, **request))
    assert not answer.ok
    assert answer.message.startswith("No answer within 0.3 s: try again later")


def test_a_provider_that_does_not_speak_tls_is_told_from_a_slow_one(tmp_path: Path) -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> v1.ProbeResponse:
        silent = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        text = CONFIG.replace("http://127.0.0.1:9", f"https://127.0.0.1:{port}")
        async with silent, rig(tmp_path, text + "health: {probe_timeout_s: 2}\n") as made:
            return await made.providers.Probe(v1.ProbeRequest(provider="one"))  # type: ignore[no-any-return]

    answer = run(main())
    assert not answer.ok
    assert "TLS handshake" in answer.message
    assert "http or https" in answer.message


def test_one_probe_at_a_time_for_each_key(tmp_path: Path) -> None:
    upstream = Upstream(200, json.dumps(MESSAGE).encode())

    async def main() -> None:
        upstream.may_answer = asyncio.Event()
        async with (
            upstream.serving() as port,
            rig(tmp_path, CONFIG.replace(":9", f":{port}")) as made,
        ):

            def probe(key: str) -> Any:
                return made.providers.Probe(
                    v1.ProbeRequest(provider="one", key=key, kind=v1.PROBE_KIND_MESSAGE, model="m")
                )

            first, other = probe("a"), probe("b")
            await eventually(lambda: len(upstream.seen) == 2)
            code, message = await refused(probe("a"))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "under way" in message
            upstream.may_answer.set()
            assert (await first).ok
            assert (await other).ok
            assert (await probe("a")).ok

    run(main())


def test_a_client_that_leaves_ends_its_probe(tmp_path: Path) -> None:
    upstream = Upstream(200, json.dumps(MESSAGE).encode(), 20)

    async def main() -> None:
        async with (
            upstream.serving() as port,
            rig(tmp_path, CONFIG.replace(":9", f":{port}")) as made,
        ):
            request = v1.ProbeRequest(provider="one", kind=v1.PROBE_KIND_MESSAGE, model="m")
            code, _ = await refused(made.providers.Probe(request, timeout=0.2))
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            upstream.delay_s = 0.0
            for _ in range(1000):
                if await is_free(made, request):
                    return
                await asyncio.sleep(0.02)
            pytest.fail("the probe of a client that has left goes on")

    run(main())


async def is_free(made: Any, request: v1.ProbeRequest) -> bool:
    """Whether a probe is answered; False: one of before is under way still."""
    try:
        return bool((await made.providers.Probe(request)).ok)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return False


@pytest.mark.parametrize(
    ("request_", "code", "part"),
    [
        ({"provider": "one", "kind": 77}, grpc.StatusCode.INVALID_ARGUMENT, "kind"),
        ({"provider": "one", "kind": 3, "model": "a\nb"}, grpc.StatusCode.INVALID_ARGUMENT, "name"),
        (
            {"provider": "one", "kind": 3, "model": "x" * 300},
            grpc.StatusCode.INVALID_ARGUMENT,
            "256",
        ),
        ({"provider": "one", "kind": 3}, PRECONDITION, "health.probe_model"),
        ({"provider": "one", "key": "z"}, grpc.StatusCode.NOT_FOUND, "known"),
    ],
)
def test_questions_that_cannot_be_asked(
    tmp_path: Path, request_: dict[str, Any], code: grpc.StatusCode, part: str
) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            found, message = await refused(made.providers.Probe(v1.ProbeRequest(**request_)))
            assert found is code
            assert part in message

    run(main())


def test_a_passed_through_login_can_only_be_connected_to(tmp_path: Path) -> None:
    text = "providers:\n- {name: login, type: anthropic, base_url: 'http://127.0.0.1:9'}\n"

    async def main() -> None:
        async with rig(tmp_path, text) as made:
            request = v1.ProbeRequest(provider="login", kind=v1.PROBE_KIND_MESSAGE, model="m")
            code, message = await refused(made.providers.Probe(request))
            assert code is PRECONDITION
            assert "`connect`" in message

    run(main())
    assert run(asked(tmp_path, Upstream(200, b""), text, provider="login")).ok
