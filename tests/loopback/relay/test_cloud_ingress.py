"""Requests of cloud clients against a relay: what reaches a provider, and what comes back."""

import asyncio
import base64
import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from ccrelay.config.model import Auth
from ccrelay.relay.cloud_answers import EVENT_STREAM
from tests.loopback.relay.harness import KEY, Lab, Peer, Script, provider, routing, server
from tests.loopback.relay.scripts import JSON, STREAM, Turns, always, once
from tests.loopback.relay.wires import (
    CHUNKED_HEAD,
    EVENTS,
    Answer,
    Request,
    chunks,
    request as written,
    response,
)

TOKEN = b"relay-token-1"
GUARDED = server(auth=Auth(tokens=[TOKEN.decode()]))
BEARER = b"authorization: Bearer relay-token-1"
SIGNED = (
    b"authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/bedrock/"
    b"aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
)
PROFILE = b"us.anthropic.claude-opus-5-5"
OLD = b"us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = b"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fabc123def456"
PLACE = b"/projects/test-project-1/locations/global"
VERTEX = PLACE + b"/publishers/anthropic/models/"
MEMBERS = b'"max_tokens":64,"messages":[{"role":"user","content":"h\\u00e9 1.0"}],"top_k":1e1'
INVOKE = b'{"anthropic_version":"bedrock-2023-05-31",' + MEMBERS + b"}"
PREDICT = b"{" + MEMBERS + b',"stream":true,"anthropic_version":"vertex-2023-10-16"}'


def request(method: bytes, path: bytes, *lines: bytes, body: bytes | None = None) -> bytes:
    fields = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return written(method, path, fields, body)


def of_bedrock(model: bytes, verb: bytes = b"invoke", body: bytes = INVOKE, *lines: bytes) -> bytes:
    return request(b"POST", b"/model/%b/%b" % (model, verb), *lines, body=body)


async def seen(lab: Lab, sent: bytes, answer: bytes = JSON) -> tuple[Request, Answer]:
    """What a provider gets of a request, and what the client gets."""
    got: list[Request] = []
    lab.start(lab.upstream(always(answer, into=got)))
    given = await lab.ask(sent)
    assert len(got) == 1, given.body
    return got[0], given


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (PROFILE, "claude-opus-5-5"),
        (b"global.anthropic.claude-opus-5-5", "claude-opus-5-5"),
        (OLD, "claude-sonnet-4-5"),
        (OLD.replace(b":", b"%3A"), "claude-sonnet-4-5"),
        (b"anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        (ARN, ARN.decode().replace("%2F", "/")),
        (ARN.replace(b":", b"%3A"), ARN.decode().replace("%2F", "/")),
    ],
)
async def test_invoke_model_becomes_a_message(lab: Lab, model: bytes, name: str) -> None:
    got, answer = await seen(lab, of_bedrock(model))
    assert got.line == b"POST /v1/messages HTTP/1.1"
    assert got.body == b'{"model":"%b",%b}' % (name.encode(), MEMBERS)
    assert got.get(b"anthropic-version") == b"2023-06-01"
    assert got.get(b"x-api-key") == KEY.encode()
    assert (answer.status, answer.body) == (200, JSON.partition(b"\r\n\r\n")[2])
    assert answer.get(b"x-amzn-requestid")


async def test_betas_of_head_and_body_are_joined_and_named_as_anthropic_does(lab: Lab) -> None:
    body = (
        b'{"anthropic_beta":["tool-search-tool-2025-10-19","b-1"],"anthropic_version":"2026-10-21",'
        + MEMBERS
        + b"}"
    )
    lines = (
        *(b"anthropic-beta: claude-code-20250219, b-1", b"anthropic-version: 2023-06-01"),
        *(
            b"X-Amzn-Bedrock-Trace: ENABLED",
            b"amz-sdk-request: attempt=1",
            b"x-amz-date: x",
            SIGNED,
        ),
        b"accept: application/vnd.amazon.eventstream",
    )
    got, _ = await seen(lab, of_bedrock(PROFILE, b"invoke", body, *lines))
    assert got.line == b"POST /v1/messages?beta=true HTTP/1.1"
    assert got.all(b"anthropic-beta") == [b"claude-code-20250219,b-1,advanced-tool-use-2025-11-20"]
    assert got.get(b"anthropic-version") == b"2026-10-21"
    assert got.get(b"accept") == b"application/json"
    head = got.raw_head.lower()
    assert not [name for name in (b"amz", b"authorization", b"amzn") if name in head]
    assert b"anthropic_" not in got.body


@pytest.mark.parametrize("start", [b"", b"/v1"])
@pytest.mark.parametrize(
    ("model", "name"),
    [
        (b"claude-opus-5-5:streamRawPredict", b"claude-opus-5-5"),
        (b"claude-sonnet-4-5@20250929:rawPredict", b"claude-sonnet-4-5"),
        (b"claude-haiku-4-5%4020251001:rawPredict", b"claude-haiku-4-5"),
    ],
)
async def test_raw_predict_becomes_a_message(
    lab: Lab, start: bytes, model: bytes, name: bytes
) -> None:
    got, answer = await seen(lab, request(b"POST", start + VERTEX + model, body=PREDICT))
    assert got.line == b"POST /v1/messages HTTP/1.1"
    assert got.body == b'{"model":"%b",%b,"stream":true}' % (name, MEMBERS)
    assert got.get(b"anthropic-version") == b"2023-06-01"
    assert answer.status == 200


PREFIXES = [
    b"/anthropic",
    PLACE + b"/workspaces/wrkspc_test1/invoke",
    b"/v1" + PLACE + b"/workspaces/wrkspc_test1/invoke",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("model", "name"),
    [(b"anthropic.claude-opus-5-5", b"claude-opus-5-5"), (b"claude-opus-5-5",) * 2, (b"mine",) * 2],
)
async def test_anthropics_form_below_a_prefix(
    lab: Lab, prefix: bytes, model: bytes, name: bytes
) -> None:
    body = b'{"model": "%b", %b}' % (model, MEMBERS)
    path = prefix + b"/v1/messages?beta=true&x=1"
    got, answer = await seen(lab, request(b"POST", path, b"api-key: mine", body=body))
    assert got.line == b"POST /v1/messages?beta=true HTTP/1.1"
    assert got.body == b'{"model": "%b", %b}' % (name, MEMBERS)
    assert got.get(b"api-key") is None
    assert answer.status == 200
    assert answer.get(b"x-amzn-requestid") is None


COUNT = response(200, b'{"input_tokens":17}')
COUNTED = b'{"model":"%b","messages":[{"role":"user","content":"foo"}],"tools":[]}'


async def test_count_tokens_of_bedrock(lab: Lab) -> None:
    inner = (
        b'{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"foo"}],'
        b'"max_tokens":1,"tools":[],"anthropic_beta":["claude-code-20250219"]}'
    )
    body = json.dumps({"input": {"invokeModel": {"body": base64.b64encode(inner).decode()}}})
    sent = of_bedrock(b"anthropic.claude-opus-5-5", b"count-tokens", body.encode())
    got, answer = await seen(lab, sent, COUNT)
    assert got.line == b"POST /v1/messages/count_tokens?beta=true HTTP/1.1"
    assert got.body == COUNTED % b"claude-opus-5-5"
    assert got.get(b"anthropic-beta") == b"claude-code-20250219"
    assert (answer.status, answer.json()) == (200, {"inputTokens": 17})


async def test_count_tokens_of_vertex(lab: Lab) -> None:
    body = COUNTED[:-1] % b"claude-haiku-4-5@20251001" + b',"anthropic_version":"2026-10-21"}'
    sent = request(b"POST", b"/v1" + VERTEX + b"count-tokens:rawPredict", body=body)
    got, answer = await seen(lab, sent, COUNT)
    assert got.line == b"POST /v1/messages/count_tokens HTTP/1.1"
    assert got.body == COUNTED % b"claude-haiku-4-5"
    assert (answer.status, answer.json()) == (200, {"input_tokens": 17})


async def test_an_estimate_is_told_in_awss_form(lab: Lab) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, count_tokens="estimate"))
    body = json.dumps({"input": {"invokeModel": {"body": base64.b64encode(INVOKE).decode()}}})
    answer = await lab.ask(of_bedrock(PROFILE, b"count-tokens", body.encode()))
    assert list(answer.json()) == ["inputTokens"]
    assert upstream.connections == 0


# ---- errors

ERRORS = [
    ("invalid_request_error", 400, "ValidationException", 400),
    # Of the relay's own key: nothing that the client could mend.
    ("authentication_error", 401, "InternalServerException", 500),
    ("permission_error", 403, "InternalServerException", 500),
    ("not_found_error", 404, "ResourceNotFoundException", 404),
    ("request_too_large", 413, "ValidationException", 413),
    ("rate_limit_error", 429, "ThrottlingException", 429),
    ("api_error", 500, "InternalServerException", 500),
    ("overloaded_error", 529, "ServiceUnavailableException", 503),
    ("timeout_error", 504, "ModelTimeoutException", 408),
]


@pytest.mark.parametrize(("kind", "status", "name", "told"), ERRORS)
async def test_an_error_keeps_its_words(
    lab: Lab, kind: str, status: int, name: str, told: int
) -> None:
    text = "prompt is too long: 300000 tokens > 200000 maximum"
    error = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}
    upstream = lab.upstream(always(response(status, json.dumps(error).encode())))
    lab.start(provider(upstream, type="anthropic"))
    answer = await lab.ask(of_bedrock(PROFILE))
    assert answer.status == told
    if kind not in ("authentication_error", "permission_error"):  # told in our own words
        assert answer.json() == {"message": text}
    assert answer.get(b"x-amzn-errortype") == name.encode()
    assert answer.get(b"x-amzn-requestid")


async def test_failover_is_the_same_for_cloud_clients(lab: Lab) -> None:
    busy = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'
    first, second = Turns(response(529, busy)), Turns(JSON)
    providers = provider(lab.upstream(first)), provider(lab.upstream(second), name="second")
    lab.start(*providers, routing=routing(strategy="failover"))
    answer = await lab.ask(of_bedrock(PROFILE))
    assert answer.status == 200
    assert first.got[0].body == second.got[0].body


REFUSED = [
    (b"/model/%2e%2e/invoke", b"{}", 400),
    (b"/model/a%2F..%2Fb/invoke", b"{}", 400),
    (b"/model/a%20b/invoke", b"{}", 400),
    (b"/model/a;b/invoke", b"{}", 400),
    (b"/model/a/invoke/x", b"{}", 404),
    (b"/model/a/converse", b"{}", 404),
    (b"/model/a/invoke-async", b"{}", 404),
    (b"/model//invoke", b"{}", 400),
    (b"/model/a/invoke", b"[]", 400),
    (b"/model/a/invoke", b"{", 400),
    (b"/model/a/invoke", b'{"anthropic_beta":"x"}', 400),
    (b"/model/a/invoke", b'{"anthropic_beta":["a\\r\\nb"]}', 400),
    (b"/model/a/invoke", b'{"anthropic_beta":["a,b"]}', 400),
    (b"/model/a/invoke", b'{"anthropic_version":"a\\r\\nx: y"}', 400),
    (b"/model/a/invoke", b'{"MODEL":"x"}', 400),
    (b"/model/a/count-tokens", b"{}", 400),
    (b"/model/a/count-tokens", b'{"input":{"invokeModel":{"body":"%"}}}', 400),
    (b"/model/a/count-tokens", b'{"input":{"invokeModel":{"body":1}}}', 400),
    (b"/model/a/count-tokens", b'{"input":{"converse":{}}}', 400),
    (VERTEX + b"..:rawPredict", b"{}", 400),
    (VERTEX + b"a%2Fb:rawPredict", b"{}", 400),
    (VERTEX + b"a:predict", b"{}", 404),
    (VERTEX + b"count-tokens:rawPredict", b"{}", 400),
    (PLACE + b"/publishers/google/models/a:rawPredict", b"{}", 404),
    (b"/anthropic/v1/files", b"{}", 404),
    (b"/anthropic/v1/messages/batches", b"{}", 404),
    (b"/anthropic/v1/messages%2F..", b"{}", 400),
    (b"/v1/messages%2Fcount_tokens", b"{}", 400),
]


@pytest.mark.parametrize(("path", "body", "status"), REFUSED)
async def test_what_is_none_of_it_is_refused(
    lab: Lab, path: bytes, body: bytes, status: int
) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, type="anthropic", passthrough=["batches", "files"]))
    answer = await lab.ask(request(b"POST", path, body=body))
    assert answer.status == status, answer.body
    assert upstream.connections == 0


# ---- who may come in


async def test_a_relay_token_is_a_bedrock_api_key(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)), server=GUARDED)
    answer = await lab.ask(of_bedrock(PROFILE, b"invoke", INVOKE, BEARER))
    assert answer.status == 200
    assert TOKEN not in got[0].raw_head


@pytest.mark.parametrize("line", [b"api-key: ", b"x-api-key: ", b"authorization: Bearer "])
async def test_a_relay_token_is_a_foundry_key(lab: Lab, line: bytes) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)), server=GUARDED)
    path, body = b"/anthropic/v1/messages", b'{"model":"claude-opus-5-5"}'
    client = await lab.client()
    for sent, status in ((line + TOKEN, 200), (b"x: y", 401), (line + b"wrong", 401)):
        answer = await client.ask(request(b"POST", path, sent, body=body))
        assert answer.status == status
    assert [TOKEN in one.raw_head for one in got] == [False]


@pytest.mark.parametrize("path", [b"/model/a/invoke", b"/anthropic/v1/messages", b"/v1/messages"])
async def test_a_signature_is_no_credential_here(lab: Lab, path: bytes) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(upstream, server=GUARDED)
    answer = await lab.ask(request(b"POST", path, SIGNED, body=b"{}"))
    assert b"AWS_BEARER_TOKEN_BEDROCK" in answer.body
    assert answer.status == (403 if path.startswith(b"/model") else 401)
    assert answer.get(b"x-should-retry") == b"false"
    assert upstream.connections == 0


@pytest.mark.parametrize("path", [b"/model/a/invoke", b"/anthropic/v1/messages", b"/v1/messages"])
async def test_no_cloud_credential_goes_on_to_a_provider_without_keys(
    lab: Lab, path: bytes
) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, type="anthropic", keys=()))
    answer = await lab.ask(request(b"POST", path, SIGNED, body=b'{"model":"claude-opus-5-5"}'))
    assert answer.status == (403 if path.startswith(b"/model") else 401)
    assert upstream.connections == 0


# ---- lists


async def test_lists_of_aws(lab: Lab) -> None:
    models = ["claude-opus-5-5", "claude-haiku-4-5", "glm-5.3"]
    lab.start(provider(lab.upstream(always(JSON)), models=models))
    found = await lab.ask(request(b"GET", b"/inference-profiles?type=SYSTEM_DEFINED"), method="GET")
    ids = [one["inferenceProfileId"] for one in found.json()["inferenceProfileSummaries"]]
    assert ids == [
        "global.anthropic.claude-opus-5-5",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
    ]
    path = b"/inference-profiles/us.anthropic.claude-haiku-4-5-20251001-v1%3A0"
    one = await lab.ask(request(b"GET", path), method="GET")
    [model] = one.json()["models"]
    assert model["modelArn"].endswith("foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0")
    found = await lab.ask(request(b"GET", b"/foundation-models?byProvider=anthropic"), method="GET")
    assert len(found.json()["modelSummaries"]) == 2
    path = b"/inference-profiles/" + ARN.replace(b":", b"%3A")
    missing = await lab.ask(request(b"GET", path), method="GET")
    assert (missing.status, list(missing.json())) == (404, ["message"])


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_models_below_a_prefix(lab: Lab, prefix: bytes) -> None:
    lab.start(provider(lab.upstream(always(JSON)), models=["claude-opus-5-5"]))
    answer = await lab.ask(request(b"GET", prefix + b"/v1/models"), method="GET")
    assert [model["id"] for model in answer.json()["data"]] == ["claude-opus-5-5"]


# ---- streams


def frames(body: bytes) -> list[tuple[str, object]]:
    """Type and payload of each frame, as botocore reads them: it checks all sums."""
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    found: list[tuple[str, object]] = []
    for message in buffer:
        headers = message.headers
        payload = json.loads(message.payload)
        if headers[":message-type"] == "exception":
            found.append((headers[":exception-type"], payload["message"]))
        elif headers[":event-type"] == "chunk":
            found.append(("chunk", json.loads(base64.b64decode(payload["bytes"]))["type"]))
        else:
            found.append((headers[":event-type"], None))
    assert not buffer._data, "the last frame is cut"
    return found


STREAMED = of_bedrock(PROFILE, b"invoke-with-response-stream")
TYPES = [json.loads(line[6:])["type"] for line in EVENTS.splitlines() if line.startswith(b"data: ")]
BUSY = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"b"}}\n\n'


def streaming(lab: Lab, *scripts: Script, **fields: Any) -> None:
    given = [provider(lab.upstream(s), name=f"p-{n}") for n, s in enumerate(scripts)]
    lab.start(*given, routing=routing(strategy="failover", **fields))


def told(answer: Answer) -> list[tuple[str, object]]:
    assert (answer.status, answer.get(b"content-type")) == (200, EVENT_STREAM)
    assert answer.get(b"x-amzn-requestid")
    return [one for one in frames(answer.body) if one[0] != "ping" and one != ("chunk", "ping")]


EVENTS_TOLD = [("chunk", kind) for kind in TYPES if kind != "ping"]


@pytest.mark.parametrize("pieces", [1, 7, 400])
async def test_a_stream_is_sent_as_frames(lab: Lab, pieces: int) -> None:
    size = -(-len(STREAM) // pieces)
    got: list[Request] = []
    cut = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    streaming(lab, always(*cut, into=got))
    answer = await lab.ask(STREAMED)
    assert told(answer) == EVENTS_TOLD
    assert got[0].body.endswith(b',"stream":true}')


async def test_a_whole_message_becomes_frames_too(lab: Lab) -> None:
    streaming(lab, always(JSON))
    answer = told(await lab.ask(STREAMED))
    assert (answer[0], answer[-1]) == (("chunk", "message_start"), ("chunk", "message_stop"))


async def test_an_error_before_content_goes_to_the_next_provider(lab: Lab) -> None:
    streaming(lab, always(CHUNKED_HEAD + chunks(BUSY)), always(STREAM))
    assert told(await lab.ask(STREAMED)) == EVENTS_TOLD


async def test_an_error_is_an_exception_frame(lab: Lab) -> None:
    begun = EVENTS[: EVENTS.index(b"event: content_block_stop")]
    streaming(lab, always(CHUNKED_HEAD + chunks(begun + BUSY)))
    answer = told(await lab.ask(STREAMED))
    assert answer[-1][0].lower().endswith("exception")
    assert answer[-1][1] == "b"


async def test_a_stream_that_breaks_is_cut(lab: Lab) -> None:
    streaming(lab, once(STREAM[: STREAM.index(b"content_block_stop")], ends="reset"))
    assert (await lab.ask(STREAMED)).cut


async def test_early_heads_pings_and_errors_behind_them_are_frames(lab: Lab) -> None:
    asked = asyncio.Event()

    async def late(peer: Peer) -> None:
        await peer.request()
        await asked.wait()
        text = b'{"type":"error","error":{"type":"invalid_request_error","message":"late"}}'
        await peer.send(response(400, text))

    streaming(lab, late, ping_s=1.0, early_head_s=1.0)
    client = await lab.client()
    await client.send(STREAMED)
    begun = await client.until(b"ping")
    assert begun.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: " + EVENT_STREAM)
    asked.set()
    answer = await client.answer()
    assert told(answer) == [("validationException", "late")]
    assert frames(answer.body)[0] == ("ping", None)


async def test_events_are_no_answer_where_a_message_was_asked_for(lab: Lab) -> None:
    lab.start(
        provider(lab.upstream(always(STREAM)), "first"),
        provider(lab.upstream(always(JSON)), "second"),
        routing=routing(strategy="failover"),
    )
    answer = await lab.ask(of_bedrock(PROFILE))
    assert (answer.status, answer.body) == (200, JSON.partition(b"\r\n\r\n")[2])


async def test_events_alone_are_an_error_of_awss(lab: Lab) -> None:
    lab.start(lab.upstream(always(STREAM)))
    answer = await lab.ask(of_bedrock(PROFILE))
    assert answer.status == 500
    assert answer.get(b"x-amzn-errortype") == b"InternalServerException"
