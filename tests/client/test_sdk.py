"""The Anthropic Python SDK with the relay, sync and async."""

import asyncio
import json
import time

import pytest

from tests.client.checks import assert_passed_through, events
from tests.client.rig import RELAY_TOKEN, mapped

pytestmark = [pytest.mark.client, pytest.mark.process]

MODEL = "claude-opus-5-5"
BASH = {
    "name": "bash",
    "description": "Run a command",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}},
}
PARALLEL = 8
MEGABYTE = 1 << 20


@pytest.fixture
def connect(anthropic):
    """Creates a client that the fixture closes: `connect(url, key, max_retries=1)`."""
    made = []

    def connect(url, key="test-client-key", max_retries=0):
        made.append(anthropic.Anthropic(base_url=url, api_key=key, max_retries=max_retries))
        return made[-1]

    yield connect
    for client in made:
        client.close()


@pytest.fixture
def client(connect, way):
    return connect(way.url, way.key)


def asked(text):
    return {
        "model": MODEL,
        "max_tokens": 2048,
        "messages": [{"role": "user", "content": text}],
    }


def test_a_message_and_all_headers_are_forwarded(client, way):
    message = client.messages.create(
        **asked("Hello there"), extra_headers={"X-Team": "blue", "anthropic-beta": "one-1,two-2"}
    )
    assert "You said: “Hello there”" in message.content[0].text
    [(seen, upstream)] = way.assert_faithful()
    # Since 2.0 the SDK sends its key as a bearer token.
    assert seen.field(b"authorization") == b"Bearer " + way.key.encode()
    assert seen.field(b"x-api-key") is None
    assert upstream.field(b"anthropic-version") == b"2026-10-21"
    assert upstream.field(b"anthropic-beta") == b"one-1,two-2"
    assert upstream.field(b"x-team") == b"blue"
    assert message._request_id == upstream.response_field(b"request-id").decode()


def test_the_streaming_helper_yields_every_event(client, way):
    with client.messages.stream(**asked("demo:deltas=5000")) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()
    assert [text.strip() for text in texts] == [str(n) for n in range(5000)]
    assert final.stop_reason == "end_turn"
    [(seen, _)] = way.assert_faithful()
    assert events(seen.payload).count("content_block_delta") == 5000


def test_thinking_and_parallel_tools_round_trip(client, way):
    request = {**asked("think and use a tool"), "tools": [BASH], "thinking": {"type": "adaptive"}}
    with client.messages.stream(**request) as stream:
        first = stream.get_final_message()
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "done"}
        for block in first.content
        if block.type == "tool_use"
    ]
    turns = [
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": results},
    ]
    request["messages"] = [*request["messages"], *turns]
    second = client.messages.create(**request)
    assert second.content[0].text.startswith("Done: 2 tool results")
    _, (_, upstream) = way.assert_faithful()
    assert json.loads(upstream.body)["messages"][1]["content"][0]["signature"]


def test_a_body_of_1_mb_is_forwarded(client, way):
    client.messages.create(**asked("Grüße \U0001f600 " * 100_000 + "\nhello"))
    [(seen, _)] = way.assert_faithful()
    assert len(seen.body) > MEGABYTE


def test_count_tokens(client, way):
    request = asked("How many?")
    del request["max_tokens"]
    assert client.messages.count_tokens(**request).input_tokens > 0
    [(seen, _)] = way.assert_faithful()
    assert seen.path == b"/v1/messages/count_tokens"


def test_models_are_listed_and_retrieved(connect, open_rig):
    def listed(upstream):
        config = mapped(upstream)
        config["providers"][0]["models"] = [
            {"id": f"claude-house-{n}", "display_name": f"House {n}"} for n in range(5)
        ]
        return config

    client = connect(open_rig(listed).url, RELAY_TOKEN)
    names = {model.id: model.display_name for model in client.models.list(limit=2)}
    assert {f"claude-house-{n}": f"House {n}" for n in range(5)}.items() <= names.items()
    assert client.models.retrieve("claude-house-3").display_name == "House 3"


def test_batches_and_files_are_forwarded_to_a_provider_that_allows_them(connect, open_rig):
    rig = open_rig()
    client = connect(rig.url)
    batch = {"requests": [{"custom_id": "one", "params": asked("hi")}]}
    posted = client.post("/v1/messages/batches", cast_to=object, body=batch)
    fetched = client.get("/v1/files?limit=3", cast_to=object)
    assert (posted["method"], posted["path"]) == ("POST", "/v1/messages/batches")
    assert (fetched["path"], fetched["query"]) == ("/v1/files", "limit=3")
    assert len(assert_passed_through(rig)) == 2


def test_the_async_client_runs_concurrent_streams(anthropic, way):
    async def one(client, number):
        async with client.messages.stream(**asked(f"demo:text=answer {number}")) as stream:
            return await stream.get_final_text()

    async def run():
        async with anthropic.AsyncAnthropic(
            base_url=way.url, api_key=way.key, max_retries=0
        ) as client:
            return await asyncio.gather(*(one(client, number) for number in range(PARALLEL)))

    assert asyncio.run(run()) == [f"answer {number}" for number in range(PARALLEL)]
    assert len(way.assert_faithful()) == PARALLEL


def test_a_client_disconnect_aborts_the_upstream_request(connect, open_rig):
    rig = open_rig()
    with connect(rig.url).messages.stream(**asked("demo:deltas=2000 demo:gap_ms=5")) as stream:
        next(iter(stream.text_stream))
    deadline = time.monotonic() + 30
    while rig.demo.requests[0].outcome == "" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert rig.demo.requests[0].outcome == "left"


def test_a_429_is_raised_with_its_headers(connect, open_rig, anthropic):
    rig = open_rig(script="429,retry_after=7")
    with pytest.raises(anthropic.RateLimitError) as raised:
        connect(rig.url).messages.create(**asked("hi"))
    [(seen, upstream)] = assert_passed_through(rig)
    assert raised.value.request_id == upstream.response_field(b"request-id").decode()
    assert raised.value.response.headers["retry-after"] == "7"
    assert raised.value.body == json.loads(seen.payload)


def test_an_overload_is_retried_unless_should_retry_is_false(connect, open_rig, anthropic):
    rig = open_rig(script="529,529,529,529,should_retry=false")
    client = connect(rig.url, max_retries=2)
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(**asked("hi"))
    assert raised.value.status_code == 529
    counts = [
        pair.upstream.field(b"x-stainless-retry-count") for pair in assert_passed_through(rig)
    ]
    assert counts == [b"0", b"1", b"2"]
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**asked("hi"))
    assert len(assert_passed_through(rig)) == 4


def test_a_wrong_token_is_an_authentication_error_without_retry(connect, open_rig, anthropic):
    rig = open_rig(mapped)
    with pytest.raises(anthropic.AuthenticationError) as raised:
        connect(rig.url, "test-wrong-token", max_retries=2).messages.create(**asked("hi"))
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.request_id.startswith("req_ccrelay_")
    assert len(rig.front.seen()) == 1


def test_an_error_event_in_a_stream_is_raised(connect, open_rig, anthropic):
    rig = open_rig(script="error_mid")
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        connect(rig.url).messages.stream(**asked("hi")) as stream,
    ):
        stream.get_final_message()
    [(seen, _)] = assert_passed_through(rig)
    assert events(seen.payload)[-1] == "error"


def test_a_broken_stream_raises(connect, open_rig):
    rig = open_rig(script="cut_mid_event")
    with (
        pytest.raises(Exception, match="peer closed connection"),
        connect(rig.url).messages.stream(**asked("hi")) as stream,
    ):
        stream.get_final_message()
    [(seen, _)] = assert_passed_through(rig)
    assert not seen.is_whole
