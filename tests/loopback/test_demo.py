"""The demo provider over real sockets, on both event loops; the Anthropic SDK as a judge."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import uvloop
from click.testing import CliRunner

from ccrelay.cli.mock import mock
from ccrelay.demo.limits import Quotas
from ccrelay.demo.script import Script
from ccrelay.demo.server import DemoServer, start_demo

BASH = {
    "name": "Bash",
    "description": "Runs a command",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}},
}


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine function with a demo server: run(scenario, **options of start_demo)."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def runs(scenario, **options):
        async def whole():
            server = await start_demo(**({"gap_ms": 0} | options))
            try:
                async with asyncio.timeout(30):
                    return await scenario(server)
            finally:
                await server.close()
                assert server.open_connections == 0

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(whole())

    return runs


def request(prompt="hello", *, path="/v1/messages", fault=None, key=None, close=False, **members):
    messages = [{"role": "user", "content": prompt}]
    plain = {"model": "m", "max_tokens": 1000, "messages": messages, "stream": True}
    body = json.dumps(plain | members).encode()
    lines = [f"POST {path} HTTP/1.1", "host: demo", f"content-length: {len(body)}"]
    lines += [f"x-demo-fault: {fault}"] if fault else []
    lines += [f"x-api-key: {key}"] if key else []
    lines += ["connection: close"] if close else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def converse(server: DemoServer, *parts: bytes):
    """Send the parts, read until the server closes."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    with contextlib.closing(writer):
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()


async def outcome(server: DemoServer, count=1):
    """Wait until so many requests are settled, return the last."""
    for _ in range(1000):
        if sum(bool(recorded.outcome) for recorded in server.requests) >= count:
            return server.requests[-1]
        await asyncio.sleep(0.005)
    raise TimeoutError(server.requests)


def test_a_port_in_use_is_said_as_serve_says_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(mock, ["--listen", f"127.0.0.1:{port}"])
    assert result.exit_code == 1
    assert f"Cannot listen on 127.0.0.1:{port}: address already in use" in result.output
    assert f"ccrelay mock --listen 127.0.0.1:{port + 1}" in result.output
    assert "Errno" not in result.output


def test_pipelined_requests_are_answered_in_order_on_one_connection(run):
    async def scenario(server):
        first = request("demo:text=one", stream=False)
        got = await converse(server, first + first.replace(b"one", b"two") + request(close=True))
        assert got.count(b"HTTP/1.1 200 OK") == 3
        assert got.index(b'"one"') < got.index(b'"two"') < got.index(b"message_stop")
        assert got.endswith(b"0\r\n\r\n")
        assert server.connections == 1

    run(scenario)


def test_a_request_sent_byte_by_byte_is_understood(run):
    async def scenario(server):
        data = request("demo:text=slow", stream=False, close=True)
        got = await converse(server, *(data[at : at + 1] for at in range(len(data))))
        assert b'"slow"' in got

    run(scenario)


def test_a_client_that_expects_100_continue_gets_it_before_it_sends_the_body(run):
    async def scenario(server):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        head, _, body = request(stream=False, close=True).partition(b"\r\n\r\n")
        writer.write(head + b"\r\nexpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert b" 200 OK" in await reader.read()
        writer.close()

    run(scenario)


def test_a_chunked_request_body_is_read(run):
    async def scenario(server):
        head = b"POST /v1/files HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        got = await converse(server, head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")
        assert b'"body_bytes":5' in got
        assert server.requests[0].body == b"abcde"

    run(scenario, record=True)


def test_bodies_are_kept_only_when_asked_for(run):
    async def scenario(server):
        await converse(server, request(close=True))
        [recorded] = server.requests
        assert (recorded.method, recorded.target) == ("POST", "/v1/messages")
        assert ("host", "demo") in recorded.headers
        assert recorded.body == b""
        assert recorded.body_bytes > 50

    run(scenario)


def test_what_is_not_http_gets_a_400_and_a_close(run):
    async def scenario(server):
        got = await converse(server, b"\x16\x03\x01 hello\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 400 ")
        assert b"invalid_request_error" in got

    run(scenario)


def test_gaps_pace_the_stream(run):
    async def scenario(server):
        begun = time.monotonic()
        await converse(server, request("demo:deltas=10 demo:gap_ms=20", close=True))
        assert time.monotonic() - begun >= 0.2

    run(scenario)


def test_a_client_that_leaves_is_noticed_while_the_answer_waits(run):
    async def scenario(server):
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(request(fault="stall_head"))
        await asyncio.sleep(0.05)
        assert [recorded.outcome for recorded in server.requests] == [""]
        writer.close()
        assert (await outcome(server)).outcome == "left"

    run(scenario)


def test_a_client_that_does_not_read_does_not_fill_our_memory(run):
    async def scenario(server):
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
        writer.write(request("demo:deltas=1000000"))
        await writer.drain()
        await reader.readuntil(b"\n")
        await asyncio.sleep(0.2)
        assert server.requests[0].outcome == ""
        writer.transport.abort()
        assert (await outcome(server)).outcome == "left"

    run(scenario)


def test_a_reset_reaches_the_client_as_a_reset_after_what_was_sent(run):
    async def scenario(server):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(request(fault="reset_mid_stream,after=3"))
        got = await reader.readuntil(b'{"type":"ping"}')
        assert got.startswith(b"HTTP/1.1 200 OK")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert (await outcome(server)).outcome == "cut"

    run(scenario)


def test_a_reset_before_the_head_sends_nothing(run):
    async def scenario(server):
        with pytest.raises(ConnectionResetError):
            await converse(server, request(fault="reset_before_head"))

    run(scenario)


def test_a_close_reaches_the_client_as_a_close(run):
    async def scenario(server):
        assert await converse(server, request(fault="close_before_head")) == b""
        assert (await converse(server, request(fault="cut_mid_event"))).count(b"event: ") == 6
        assert b"not-a-number" in await converse(server, request(fault="bad_chunk"))

    run(scenario)


def test_an_early_response_comes_while_the_body_is_still_missing(run):
    async def scenario(server):
        head = request(fault="early_response").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        got = await converse(server, head)
        assert got.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in got
        assert server.requests[0].body_bytes == 0

    run(scenario)


def test_a_client_that_reads_slowly_still_gets_everything_before_the_close(run):
    async def scenario(server):
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
        writer.write(request(fault="huge_event,size=8000000", close=True))
        got = bytearray(await reader.readuntil(b"\n"))
        await asyncio.sleep(1.2)  # longer than the server lingers after its last byte
        got += await reader.read()
        assert len(got) > 8_000_000
        assert got.endswith(b"0\r\n\r\n")
        writer.close()

    run(scenario)


def test_a_body_that_breaks_off_its_framing_is_refused(run):
    async def scenario(server):
        head = b"POST /v1/files HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        got = await converse(server, head + b"3\r\nabcdef\r\n")
        assert got.startswith(b"HTTP/1.1 400 ")
        assert server.requests[0].outcome == "answered"

    run(scenario)


def test_a_slow_reader_takes_its_time_with_a_large_body(run):
    async def scenario(server):
        begun = time.monotonic()
        data = request("x" * 2_000_000, fault="slow_reader,bytes_per_s=5000000", close=True)
        assert b"message_stop" in await converse(server, data)
        assert time.monotonic() - begun > 0.3
        assert server.requests[0].body_bytes > 2_000_000

    run(scenario)


def test_a_huge_event_arrives_whole(run):
    async def scenario(server):
        got = await converse(server, request(fault="huge_event", close=True))
        assert len(got) > 20_000_000
        assert got.endswith(b"0\r\n\r\n")

    run(scenario)


def test_a_script_is_followed_over_connections(run):
    async def scenario(server):
        got = [await converse(server, request(close=True)) for _ in range(4)]
        assert [int(data[9:12]) for data in got] == [529, 429, 200, 200]
        assert [recorded.fault for recorded in server.requests] == ["status", "status", "ok", "ok"]
        assert [recorded.connection for recorded in server.requests] == [1, 2, 3, 4]

    run(scenario, script=Script.parse("529,status=429,retry_after=1,ok"))


def test_closing_the_server_ends_open_connections_and_frees_the_port(run):
    async def scenario(server):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(request(fault="stall_mid_stream"))
        await reader.readuntil(b"message_start")
        await server.close()
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection(server.host, server.port)
        assert server.requests[0].outcome == "left"

    run(scenario)


def test_two_demos_never_give_out_the_same_message_id(run):
    async def scenario(server):
        other = await start_demo()
        try:
            ids = set()
            for each in (server, other):
                got = await converse(each, request(stream=False, close=True))
                ids.add(re.search(rb'"id":"(msg_\w+)"', got)[1])
            assert len(ids) == 2
        finally:
            await other.close()

    run(scenario)


# Limits and steering


def test_limits_are_enforced_per_key_and_told_on_every_answer(run):
    async def scenario(server):
        got = [await converse(server, request(key="test-key-1", close=True)) for _ in range(3)]
        assert [int(data[9:12]) for data in got] == [200, 200, 429]
        for data, left in zip(got, (b"1", b"0", b"0"), strict=True):
            assert b"anthropic-ratelimit-requests-remaining: %b\r\n" % left in data
        wait_s = int(re.search(rb"retry-after: (\d+)\r\n", got[2])[1])
        assert 55 <= wait_s <= 60
        other = await converse(server, request(key="test-key-2", close=True))
        assert other.startswith(b"HTTP/1.1 200 ")
        first, second = server.limiter.ledger().values()
        assert (first["requests"], first["rejected"], second["requests"]) == (2, 1, 1)

    run(scenario, quotas=Quotas(requests=2))


def test_requests_at_once_are_limited_and_one_that_is_left_makes_room(run):
    async def scenario(server):
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(request("demo:deltas=1000 demo:gap_ms=50"))
        await asyncio.sleep(0.05)
        assert (await converse(server, request(close=True))).startswith(b"HTTP/1.1 429 ")
        writer.close()
        await outcome(server, 2)
        await asyncio.sleep(0.05)
        assert (await converse(server, request(close=True))).startswith(b"HTTP/1.1 200 ")
        assert server.limiter.ledger()["none"]["in_flight"] == 0

    run(scenario, quotas=Quotas(concurrent=1))


def test_the_demo_is_steered_over_http(run):
    async def scenario(server):
        await converse(server, request(path="/demo/fault?name=529", close=True))
        assert (await converse(server, request(close=True))).startswith(b"HTTP/1.1 529 ")
        await converse(server, request(path="/demo/fault?name=none", close=True))
        assert (await converse(server, request(close=True))).startswith(b"HTTP/1.1 200 ")
        server.set_fault("402", key="key-1")
        got = [await converse(server, request(key=f"test-key-{n}", close=True)) for n in (1, 2)]
        assert [int(data[9:12]) for data in got] == [402, 200]
        ledger = b"GET /demo/limits HTTP/1.1\r\nconnection: close\r\n\r\n"
        told = json.loads((await converse(server, ledger)).partition(b"\r\n\r\n")[2])
        assert told == server.limiter.ledger()
        assert sorted(line["requests"] for line in told.values()) == [1, 1, 2]

    run(scenario)


# The Anthropic SDK (2.x) as a client


@contextlib.asynccontextmanager
async def sdk(server, **options):
    import anthropic

    async with anthropic.AsyncAnthropic(
        base_url=server.url, api_key="test-key-1", **options
    ) as client:
        yield client


def ask(prompt, **members):
    messages = [{"role": "user", "content": prompt}]
    return {"model": "claude-opus-5-5", "max_tokens": 1000, "messages": messages} | members


@pytest.mark.client
def test_the_sdk_accumulates_thinking_text_and_parallel_tools_and_goes_on(run):
    async def scenario(server):
        async with sdk(server) as client:
            asked = ask("think and use a tool", thinking={"type": "adaptive"}, tools=[BASH])
            async with client.messages.stream(**asked) as stream:
                message = await stream.get_final_message()
            assert [block.type for block in message.content] == [
                "thinking",
                "text",
                "tool_use",
                "tool_use",
            ]
            assert "no model behind me" in message.content[0].thinking
            assert message.content[0].signature.startswith("demo-signature")
            calls = message.content[2:]
            assert [call.input for call in calls] == [
                {"command": "echo demo tool 1"},
                {"command": "echo demo tool 2"},
            ]
            assert message.stop_reason == "tool_use"
            assert message.usage.output_tokens > 40
            assert message.usage.cache_creation.ephemeral_5m_input_tokens == 0
            assert message.usage.output_tokens_details.thinking_tokens > 20

            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": "done"} for call in calls
            ]
            asked["messages"] += [
                {"role": "assistant", "content": [b.to_dict() for b in message.content]},
                {"role": "user", "content": results},
            ]
            async with client.messages.stream(**asked) as stream:
                closing = await stream.get_final_text()
            assert "2 tool results" in closing
            assert (await outcome(server, 2)).outcome == "answered"

    run(scenario)


@pytest.mark.client
def test_the_sdk_gets_the_same_message_streamed_and_whole(run):
    async def scenario(server):
        async with sdk(server) as client:
            asked = ask("hello", system=[{"type": "text", "text": "s"}])
            asked["system"][0]["cache_control"] = {"type": "ephemeral"}
            whole = await client.messages.create(**asked)
            async with client.messages.stream(**asked) as stream:
                streamed = await stream.get_final_message()
            assert streamed.content[0].text == whole.content[0].text
            written = whole.usage.cache_creation_input_tokens
            assert whole.usage.cache_creation.ephemeral_5m_input_tokens == written > 0
            # The streamed one says so in a few bytes more.
            assert streamed.usage.cache_read_input_tokens >= written
            assert streamed.usage.cache_creation_input_tokens == 0
            assert whole._request_id.startswith("req_demo")

    run(scenario)


@pytest.mark.client
def test_the_sdk_counts_lists_and_finds_models(run):
    async def scenario(server):
        async with sdk(server) as client:
            asked = ask("hello")
            del asked["max_tokens"]
            assert (await client.messages.count_tokens(**asked)).input_tokens > 10
            ids = [model.id async for model in client.models.list(limit=2)]
            assert len(ids) == len(set(ids)) > 4
            found = await client.models.retrieve(ids[0])
            assert (found.id, found.lifecycle) == (ids[0], "active")

    run(scenario)


@pytest.mark.client
def test_the_sdk_retries_what_it_should_and_raises_the_rest(run):
    async def scenario(server):
        import anthropic

        async with sdk(server) as client:
            assert (await client.messages.create(**ask("hello"))).stop_reason == "end_turn"
            assert [recorded.fault for recorded in server.requests] == ["status", "status", "ok"]
            for fault, error in {
                "401": anthropic.AuthenticationError,
                "status=429,should_retry=false": anthropic.RateLimitError,
                "404": anthropic.NotFoundError,
            }.items():
                with pytest.raises(error):
                    await client.messages.create(
                        **ask("hello"), extra_headers={"x-demo-fault": fault}
                    )

    run(scenario, script=Script.parse("status=529,retry_after=0,status=503,retry_after=0,ok"))


@pytest.mark.client
@pytest.mark.parametrize(
    "fault", ["split", "crlf", "comments", "gzip", "sized", "close_delimited", "informational"]
)
def test_the_sdk_reads_odd_but_legal_streams(run, fault):
    async def scenario(server):
        async with sdk(server) as client:
            async with client.messages.stream(**ask(f"demo:fault={fault}")) as stream:
                assert "demo provider" in await stream.get_final_text()
            assert server.requests[0].fault == fault

    run(scenario)


@pytest.mark.client
@pytest.mark.parametrize(
    "fault", ["error_first", "error_mid", "reset_mid_stream", "cut_mid_event", "bad_chunk"]
)
def test_the_sdk_raises_when_a_stream_breaks(run, fault):
    async def scenario(server):
        import anthropic

        async with sdk(server, max_retries=0) as client:
            # The foreign transport's errors have no name we could import: all end in "Error".
            with pytest.raises(Exception) as caught:  # noqa: PT011
                async with client.messages.stream(**ask(f"demo:fault={fault}")) as stream:
                    await stream.get_final_message()
            if fault.startswith("error"):
                assert isinstance(caught.value, anthropic.APIStatusError)
                assert caught.value.body["error"]["type"] == "overloaded_error"
            else:
                assert type(caught.value).__name__ in ("ReadError", "RemoteProtocolError")

    run(scenario)


# The command


@pytest.mark.process
def test_the_command_serves_records_and_ends_on_sigterm(tmp_path):
    record = tmp_path / "requests.jsonl"
    start = "from ccrelay.cli.main import main; main()"
    arguments = ["mock", "--listen", "127.0.0.1:0", "--fault", "503", "--times", "1"]
    arguments += ["--limits", "rpm=2", "--limit-window", "bucket", "--key-fault", "key-2:401"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", start, *arguments, "--record", str(record)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
        server = DemoServer(Script(), gap_ms=0, record=False, on_finished=None, quotas=Quotas())
        server.host, server.port = "127.0.0.1", int(found[1])
        got = [asyncio.run(converse(server, request(close=True))) for _ in range(3)]
        got.append(asyncio.run(converse(server, request(key="test-key-2", close=True))))
        assert [int(data[9:12]) for data in got] == [503, 200, 429, 401]
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "  1  POST /v1/messages  status, answered\n" in rest
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["fault"] for line in lines] == ["status", "ok", "limit", "status"]
    assert lines[0]["body"].endswith("}")
    assert record.stat().st_mode & 0o777 == 0o600
