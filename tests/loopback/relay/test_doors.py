"""Paths, encodings and shapes of real clients' requests, and what the log says of them."""

import gzip
import json

import pytest

from ccrelay.config.model import Auth
from tests.loopback.relay.harness import Lab, provider, routing, server
from tests.loopback.relay.scripts import JSON, always, refused_url
from tests.loopback.relay.wires import (
    BLOCK,
    BODY,
    CHUNKED_HEAD,
    MESSAGE,
    STOP,
    STREAM_BODY,
    Request,
    chunks,
    post,
    request,
    response,
)

ENCODING = b"Content-Encoding"


@pytest.mark.parametrize(
    ("method", "sent", "served", "body"),
    [
        (b"POST", b"/v1/v1/messages", b"/v1/messages", BODY),
        (b"POST", b"/v1/v1/messages?beta=true", b"/v1/messages?beta=true", BODY),
        (b"POST", b"/v1/v1/messages/count_tokens", b"/v1/messages/count_tokens", BODY),
        (b"GET", b"/v1/v1/files?limit=2", b"/v1/files?limit=2", None),
        (b"POST", b"/v1/v1/messages/batches", b"/v1/messages/batches", b"{}"),
        (b"POST", b"/v1/messages", b"/v1/messages", BODY),
    ],
)
async def test_a_base_url_that_ends_in_v1_is_served(
    lab: Lab, method: bytes, sent: bytes, served: bytes, body: bytes | None
) -> None:
    got: list[Request] = []
    groups = ["files", "batches"]
    lab.start(provider(lab.upstream(always(JSON, into=got)), type="anthropic", passthrough=groups))
    answer = await lab.ask(request(method, sent, body=body), method=method.decode())
    assert answer.status == 200
    assert got[0].line == method + b" " + served + b" HTTP/1.1"


async def test_a_doubled_prefix_finds_what_the_relay_answers_itself(lab: Lab) -> None:
    lab.start(provider(lab.upstream(always(JSON)), models=["m-1"]))
    for path in (b"/v1/v1/models", b"/v1/v1/models/m-1"):
        assert (await lab.ask(request(b"GET", path), method="GET")).status == 200
    assert (await lab.ask(request(b"GET", b"/v1/v1/messages"), method="GET")).status == 405
    for path in (b"/v1/v1", b"/v1/v1x/messages", b"/v1/v1/v1/messages"):
        assert (await lab.ask(post(path=path))).status == 404


@pytest.mark.parametrize("path", [b"/api/hello", b"/v1/api/hello", b"/api/hello?x=1"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_hello_needs_no_credential(lab: Lab, method: bytes, path: bytes) -> None:
    lab.start(lab.upstream(), server=server(auth=Auth(tokens=["test-token-1"])))
    client = await lab.client()
    answer = await client.ask(request(method, path), method=method.decode())
    assert answer.status == 200
    assert bool(answer.body) == (method == b"GET")
    assert (await client.ask(post())).status == 401, "the connection serves the first request, too"


# ---- encodings of request bodies


@pytest.mark.parametrize(
    ("encodings", "is_packed"),
    [
        ([b"identity"], False),
        ([b"Identity"], False),
        ([b"identity, identity"], False),
        ([b""], False),
        ([b"identity", b"IDENTITY"], False),
        ([b"gzip"], True),
        ([b"x-gzip"], True),
        ([b"X-GZip"], True),
        ([b"identity, gzip"], True),
        ([b"gzip , Identity"], True),
        ([b"identity", b"gzip"], True),
        ([b",x-gzip,"], True),
    ],
)
async def test_an_encoding_that_says_nothing_or_gzip_is_taken(
    lab: Lab, encodings: list[bytes], is_packed: bool
) -> None:
    got: list[Request] = []
    lab.start(
        provider(lab.upstream(always(JSON, into=got)), model_mapping={"claude-test-1": "other"})
    )
    body = gzip.compress(BODY) if is_packed else BODY
    wire = post(body, headers=[(ENCODING, encoding) for encoding in encodings])
    client = await lab.client()
    for cut in (len(wire), 120):  # at once, and the body later
        answer = await client.ask(*filter(None, [wire[:cut], wire[cut:]]), pause_s=0.01)
        assert answer.status == 200
        assert got[-1].body == BODY.replace(b"claude-test-1", b"other")
        assert got[-1].get(b"content-encoding") is None


@pytest.mark.parametrize(
    "encodings", [[b"br"], [b"zstd"], [b"gzip, gzip"], [b"gzip", b"gzip"], [b"identity, br"]]
)
async def test_any_other_encoding_is_refused(lab: Lab, encodings: list[bytes]) -> None:
    lab.start(lab.upstream(always(JSON)))
    answer = await lab.ask(post(headers=[(ENCODING, encoding) for encoding in encodings]))
    assert answer.status == 400
    assert "Unsupported content-encoding" in answer.error["message"]


# ---- depth


def nested(depth: int) -> bytes:
    inner = b"[" * depth + b"]" * depth
    return BODY[:-1] + b',"x":' + inner + b"}"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_a_body_too_deep_to_be_rewritten_says_so(lab: Lab, packed: bool) -> None:
    lab.start(provider(lab.upstream(always(JSON)), type="ollama", auth="none", keys=()))
    body = nested(100_000)  # Python 3.11 rewrites some 1,000 levels, 3.12 and newer some 10,000
    fields = [(ENCODING, b"gzip")] if packed else []
    answer = await lab.ask(post(gzip.compress(body) if packed else body, headers=fields))
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert "nested too deeply" in answer.error["message"]


async def test_a_deep_body_that_needs_no_rewriting_is_not_judged(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    assert (await lab.ask(post(nested(5000)))).status == 200
    assert got[0].body == nested(5000)


# ---- usage


USAGE = b'{"input_tokens":12.0,"cache_read_input_tokens":1.2e3,"output_tokens":7E0}'


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_counts_written_as_floats_are_logged(lab: Lab, streamed: bool) -> None:
    if streamed:
        start = b'event: message_start\ndata: {"type":"message_start","message":{"usage":%b}}\n\n'
        reply = CHUNKED_HEAD + chunks(start % USAGE + BLOCK + STOP)
    else:
        message = {**json.loads(MESSAGE), "usage": "@"}
        reply = response(200, json.dumps(message).encode().replace(b'"@"', USAGE))
    lab.start(lab.upstream(always(reply)))
    assert (await lab.ask(post(STREAM_BODY if streamed else BODY))).status == 200
    [record] = await lab.records()
    assert (record["input"], record["cache_read"]) == (12, 1200)
    if not streamed:
        assert record["output"] == 7


# ---- a provider that does not run


async def test_ollama_that_does_not_run_is_told_to_be_started_once(lab: Lab) -> None:
    lab.start(
        provider(refused_url(), "home", type="ollama", auth="none", keys=()),
        routing=routing(attempts_max=1),
    )
    told = [(await lab.ask(post())).error["message"] for _ in range(2)]
    assert all("(provider home)" in text for text in told)
    assert ["`ollama serve`" in text for text in told] == [True, False]
    reasons = [str(fields["reason"]) for fields in lab.sink.named("connect_failed")]
    assert sum("`ollama serve`" in reason for reason in reasons) == 1


# ---- the log


@pytest.mark.parametrize(
    ("wire", "shown"),
    [
        (request(b"GET", b"/nowhere"), {"method": "GET", "path": "/nowhere"}),
        (
            request(b"PUT", b"/v1/messages?key=test-secret-1"),
            {"method": "PUT", "path": "/v1/messages?key=***"},
        ),
        (b"GET /bad HTTP/9.9\r\nHost: localhost\r\n\r\n", {}),
    ],
)
async def test_a_rejected_request_is_logged_with_what_it_asked_for(
    lab: Lab, wire: bytes, shown: dict[str, str]
) -> None:
    lab.start(lab.upstream())
    await lab.ask(wire, method="GET")
    [fields] = lab.sink.named("request_rejected")
    assert {name: fields[name] for name in ("method", "path") if name in fields} == shown


async def test_a_request_passed_through_is_logged_with_its_path(lab: Lab) -> None:
    lab.start(provider(lab.upstream(always(JSON)), type="anthropic", passthrough=["files"]))
    await lab.ask(request(b"GET", b"/v1/files?limit=20&after_id=file_1"), method="GET")
    await lab.ask(post())
    passed, message = await lab.records(2)
    assert (passed["kind"], passed["method"]) == ("other_v1", "GET")
    assert passed["path"] == "/v1/files?limit=20&after_id=***"
    assert not {"method", "path"} & set(message)
