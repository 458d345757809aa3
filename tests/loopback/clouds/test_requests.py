"""What a cloud gets of a client's request, and what the client gets of its answer."""

import gzip
import json

from ccrelay.config.model import Key
from tests.loopback.clouds.clouds import (
    BODY,
    KEYS,
    MODEL,
    STREAM,
    Swallow,
    asked,
    cloud,
    is_signed,
    issue,
    tokens,
)
from tests.loopback.relay.harness import Lab, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM as EVENTS_ANSWER, Turns
from tests.loopback.relay.wires import EVENTS, MESSAGE, response

BETAS = (b"anthropic-beta", b"claude-code-20250219,  interleaved-thinking-2025-05-14")
MORE_BETAS = (b"Anthropic-Beta", b"thinking-token-count-2026-05-13")
VERTEX_PATH = (
    b"/v1/projects/test-project/locations/global/publishers/anthropic/models/"
    b"claude-sonnet-4-5@20250929:"
)


async def test_vertex_gets_model_and_verb_in_the_path_and_the_version_in_the_body(lab: Lab) -> None:
    turns = Turns(JSON, EVENTS_ANSWER)
    lab.start(cloud("vertex", lab.upstream(turns)))
    issue(lab, "vertex")
    whole = await lab.ask(asked(BODY, BETAS, MORE_BETAS))
    stream = await lab.ask(asked(STREAM, BETAS))
    assert (whole.status, whole.body) == (200, MESSAGE)
    assert (stream.status, stream.body) == (200, EVENTS)
    first, second = turns.got
    assert first.line == b"POST " + VERTEX_PATH + b"rawPredict HTTP/1.1"
    assert second.line == b"POST " + VERTEX_PATH + b"streamRawPredict HTTP/1.1"
    sent = json.loads(first.body)
    assert "model" not in sent
    assert sent["anthropic_version"] == "vertex-2023-10-16"
    assert sent["messages"] == json.loads(BODY)["messages"]
    assert tokens(turns.got) == ["test-token-1"] * 2
    assert first.get(b"x-api-key") is None
    assert first.get(b"anthropic-version") is None
    # One field, of all that the client sent.
    assert len(first.all(b"anthropic-beta")) == 1
    assert len(first.all(b"content-type")) == 1
    (record, _) = lab.sink.records
    assert (record["provider"], record["status"], record["attempts"]) == ("vertex", 200, 1)


async def test_claude_on_aws_gets_a_signature_that_botocore_would_make(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("claude-aws", lab.upstream(turns)))
    issue(lab, "claude-aws")
    forged = (b"x-amz-security-token", b"test-forged"), (b"x-amz-date", b"20200101T000000Z")
    assert (await lab.ask(asked(BODY, BETAS, *forged))).status == 200
    (request,) = turns.got
    assert is_signed(request, KEYS, "aws-external-anthropic")
    assert request.all(b"x-amz-security-token") == [b"test-session-1"]
    assert len(request.all(b"x-amz-date")) == 1
    assert request.get(b"anthropic-workspace-id") == b"ws-1"
    assert request.get(b"x-api-key") is None


async def test_an_api_key_of_a_cloud_is_sent_as_one(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("azure", lab.upstream(turns), keys=[Key(key="test-key-1")]))
    assert (await lab.ask(asked())).status == 200
    (request,) = turns.got
    assert request.get(b"x-api-key") == b"test-key-1"
    assert request.line == b"POST /v1/messages HTTP/1.1"


async def test_a_large_body_is_bridged_hashed_and_signed_in_the_thread(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("claude-aws", lab.upstream(turns)))
    issue(lab, "claude-aws")
    text = "x" * 3_000_000
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}]}).encode()
    assert (await lab.ask(asked(body))).status == 200
    (request,) = turns.got
    assert is_signed(request, KEYS, "aws-external-anthropic")
    assert json.loads(request.body)["messages"][0]["content"] == text


async def test_a_compressed_body_goes_out_unpacked(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("vertex", lab.upstream(turns)))
    issue(lab, "vertex")
    sent = asked(gzip.compress(BODY), (b"content-encoding", b"gzip"))
    assert (await lab.ask(sent)).status == 200
    (request,) = turns.got
    assert request.get(b"content-encoding") is None
    assert json.loads(request.body)["messages"] == json.loads(BODY)["messages"]


async def test_a_stale_connection_is_replaced_and_signed_anew(lab: Lab) -> None:
    async def leaves(peer):  # type: ignore[no-untyped-def]
        await peer.request()
        await peer.send(JSON)
        await peer.request()  # the next one finds it closed

    turns = Turns(JSON)
    upstream = lab.upstream(leaves, turns)
    lab.start(cloud("claude-aws", upstream))
    issue(lab, "claude-aws")
    client = await lab.client()
    assert (await client.ask(asked())).status == 200
    assert (await client.ask(asked())).status == 200
    assert is_signed(turns.got[0], KEYS, "aws-external-anthropic")
    assert [record["attempts"] for record in lab.sink.records] == [1, 1]


async def test_a_clouds_name_of_a_request_becomes_its_request_id(lab: Lab) -> None:
    head = [(b"content-type", b"application/json"), (b"x-amzn-requestid", b"req-1")]
    lab.start(cloud("claude-aws", lab.upstream(Turns(response(200, MESSAGE, head)))))
    issue(lab, "claude-aws")
    answer = await lab.ask(asked())
    assert answer.get(b"request-id") == b"req-1"


# ---- what a cloud cannot serve


async def test_what_is_too_large_goes_to_the_next_provider_and_costs_the_first_nothing(
    lab: Lab,
) -> None:
    first, second = Swallow(JSON), Swallow(JSON)
    lab.start(
        cloud("bedrock", lab.upstream(first), models=["*"]),
        provider(lab.upstream(second), "second"),
        routing=routing(strategy="failover"),
    )
    issue(lab, "bedrock")
    text = "x" * 21_000_000
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}]}).encode()
    for _ in range(2):
        assert (await lab.ask(asked(body))).status == 200
    assert (first.bodies, second.bodies) == ([], [body] * 2)
    (state, _) = lab.relay.providers
    assert state.usable(lab.relay.reactor.now)
    assert state.targets[0].limits.used(0, lab.relay.reactor.now) == 0
    record = lab.sink.records[-1]
    assert (record["provider"], record["status"], record["attempts"]) == ("second", 200, 1)
    assert lab.sink.named("failover")[0]["why"] == "cannot_serve"


async def test_alone_the_client_hears_what_the_cloud_lacks(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("bedrock", lab.upstream(turns)))
    issue(lab, "bedrock")
    text = "x" * 21_000_000
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}]}).encode()
    answer = await lab.ask(asked(body))
    assert answer.status == 413
    assert answer.error["type"] == "request_too_large"
    assert "bedrock" in answer.error["message"]
    assert "20,000,000" in answer.error["message"]
    assert turns.got == []


async def test_a_source_by_url_goes_where_it_is_taken(lab: Lab) -> None:
    first, second = Turns(JSON), Turns(JSON)
    lab.start(
        cloud("vertex", lab.upstream(first)),
        provider(lab.upstream(second), "second"),
        routing=routing(strategy="failover"),
    )
    issue(lab, "vertex")
    source = {"type": "url", "url": "https://example.com/1.png"}
    content = [{"type": "image", "source": source}]
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": content}]}).encode()
    assert (await lab.ask(asked(body))).status == 200
    assert (len(first.got), len(second.got)) == (0, 1)


async def test_a_body_that_is_no_message_is_refused_as_by_anthropic(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("vertex", lab.upstream(turns)))
    issue(lab, "vertex")
    answer = await lab.ask(asked(b'{"model":"claude-sonnet-4-5","messages":7}'))
    # What the cloud says of it is the cloud's to say: it is no JSON object that is refused here.
    assert answer.status in (200, 400)


# ---- count_tokens


async def test_vertex_counts_with_a_model_of_its_own(lab: Lab) -> None:
    turns = Turns(response(200, b'{"input_tokens":12}'))
    lab.start(cloud("vertex", lab.upstream(turns)))
    issue(lab, "vertex")
    answer = await lab.ask(asked(BODY, path=b"/v1/messages/count_tokens"))
    assert (answer.status, answer.json()) == (200, {"input_tokens": 12})
    (request,) = turns.got
    assert request.line.split(b" ")[1].endswith(b"/models/count-tokens:rawPredict")


async def test_bedrock_counts_in_its_own_form(lab: Lab) -> None:
    head = [(b"content-type", b"application/json"), (b"x-amzn-requestid", b"req-1")]
    turns = Turns(response(200, b'{"inputTokens":12}', head))
    lab.start(cloud("bedrock", lab.upstream(turns)))
    issue(lab, "bedrock")
    answer = await lab.ask(asked(BODY, path=b"/v1/messages/count_tokens"))
    assert (answer.status, answer.json()) == (200, {"input_tokens": 12})
    assert answer.get(b"request-id") == b"req-1"
    (request,) = turns.got
    assert request.line.split(b" ")[1].endswith(b"/count-tokens")
    assert is_signed(request, KEYS, "bedrock")


async def test_what_is_no_count_goes_to_the_next_provider(lab: Lab) -> None:
    first = Turns(response(200, b'{"Output":{"__type":"UnknownOperationException"}}'))
    second = Turns(response(200, b'{"input_tokens":12}'))
    lab.start(
        cloud("bedrock", lab.upstream(first)),
        provider(lab.upstream(second), "second"),
        routing=routing(strategy="failover"),
    )
    issue(lab, "bedrock")
    answer = await lab.ask(asked(BODY, path=b"/v1/messages/count_tokens"))
    assert (answer.status, answer.json()) == (200, {"input_tokens": 12})
    assert (len(first.got), len(second.got)) == (1, 1)
