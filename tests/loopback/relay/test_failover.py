"""A provider or key that fails before the first content: another one answers, unnoticed."""

import asyncio

import pytest

from ccrelay.config.model import Affinity, Health, RetryBudget
from tests.loopback.relay.harness import Lab, Peer, Script, eventually, provider, routing
from tests.loopback.relay.scripts import (
    JSON,
    STREAM,
    Reply,
    Stage,
    Turns,
    break_off,
    hang_up,
    refused_url,
    stall,
    then,
)
from tests.loopback.relay.wires import (
    BLOCK,
    BODY,
    CHUNKED_HEAD,
    EVENTS,
    MESSAGE,
    OVERLOADED,
    START,
    STREAM_BODY,
    Answer,
    chunked_post,
    chunks,
    delta,
    event,
    events_in,
    fault,
    padded,
    post,
    response,
)

QUICK = {"strategy": "failover", "first_byte_s": 0.25, "idle_s": 0.25, "queue_timeout_s": 0}
RETRY_7 = (b"Retry-After", b"7")
UNKNOWN_MODEL = fault(404, "not_found_error", "model: claude-test-1")

# What fails, and the word for it in the log.
FAULTS: dict[str, tuple[Reply, str]] = {
    "reset": (break_off, "reset"),
    "closed": (hang_up, "closed"),
    "half a head": (then(b"HTTP/1.1 200 OK\r\nContent-Ty"), "closed"),
    "head without body": (then(response(200, b"", length=9)), "closed"),
    "garbage": (b"hello there, this is not HTTP\r\n\r\n", "garbage"),
    "silence": (stall, "no_first_byte"),
    "408": (fault(408), "timed_out"),
    "409": (fault(409), "conflict"),
    "500": (fault(500), "server_error"),
    "502 page": (response(502, b"<html>Bad gateway</html>"), "server_error"),
    "503": (fault(503, "overloaded_error"), "server_error"),
    "504": (fault(504, "timeout_error"), "timed_out"),
    "529": (fault(529, "overloaded_error", "Overloaded"), "overloaded"),
    "429 until": (fault(429, "rate_limit_error", headers=[RETRY_7]), "rate_limited"),
    "429": (fault(429, "rate_limit_error"), "too_many_requests"),
    "401": (fault(401, "authentication_error", "invalid x-api-key"), "key_refused"),
    "402": (fault(402, "billing_error"), "quota_spent"),
    "403": (fault(403, "permission_error", "This key may not"), "key_refused"),
    "403 model": (fault(403, "permission_error", "No access to this model."), "model_refused"),
    "404 model": (UNKNOWN_MODEL, "model_unknown"),
    "500 of no length": (
        b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(b"no", b"pe"),
        "server_error",
    ),
}
STREAM_FAULTS: dict[str, tuple[Reply, str]] = {
    "error first": (CHUNKED_HEAD + chunks(OVERLOADED), "overloaded"),
    "error behind start": (CHUNKED_HEAD + chunks(START, OVERLOADED), "overloaded"),
    "error in one piece with start": (CHUNKED_HEAD + chunks(START + OVERLOADED), "overloaded"),
    "error, then open": (
        then(CHUNKED_HEAD + chunks(START, OVERLOADED, last=False), stall),
        "overloaded",
    ),
    "limit error first": (
        CHUNKED_HEAD
        + chunks(
            event("error", {"type": "error", "error": {"type": "rate_limit_error", "message": "x"}})
        ),
        "too_many_requests",
    ),
    "start, then closed": (then(CHUNKED_HEAD + chunks(START, last=False)), "closed"),
    "start, then reset": (then(CHUNKED_HEAD + chunks(START, last=False), break_off), "reset"),
    "start, then silence": (then(CHUNKED_HEAD + chunks(START, last=False), stall), "idle"),
    "start, then a bad chunk": (CHUNKED_HEAD + chunks(START, last=False) + b"zz\r\n", "garbage"),
}
# On the wire these are like 500 and 429; unit/routing/test_verdict.py has a row for each.
_LIKE_OTHERS = {"408", "409", "503", "504", "402", "403", "403 model", "404 model", "401"}
FAILED_OVER = {name: fault for name, fault in FAULTS.items() if name not in _LIKE_OTHERS}
ALL = [
    *[(name, reply, why, False) for name, (reply, why) in FAILED_OVER.items()],
    *[(name, reply, why, True) for name, (reply, why) in (FAILED_OVER | STREAM_FAULTS).items()],
]


def start(lab: Lab, *turns: Turns, **fields: object) -> None:
    """Start with a provider for each of these, asked in this order."""
    health = fields.pop("health", None) or Health(failures=100)
    names = ("one", "two", "three")
    lab.start(
        *[provider(lab.upstream(turn), name) for turn, name in zip(turns, names, strict=False)],
        routing=routing(**{**QUICK, **fields}),
        health=health,
    )


def head_of(wire: bytes) -> list[tuple[bytes, bytes]]:
    """Header fields of a response, as they were sent."""
    lines = wire.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


def is_only(answer: Answer, wire: bytes, body: bytes) -> bool:
    """Whether the answer is this one, whole, and nothing else."""
    return (answer.status, answer.cut, answer.body, answer.headers) == (
        200,
        False,
        body,
        head_of(wire),
    )


# ---- another one answers


@pytest.mark.parametrize(
    ("reply", "why", "stream"),
    [row[1:] for row in ALL],
    ids=[f"{row[0]}-{'stream' if row[3] else 'whole'}" for row in ALL],
)
async def test_only_the_second_providers_answer_is_seen(
    lab: Lab, reply: Reply, why: str, stream: bool
) -> None:
    wire, body = (STREAM, EVENTS) if stream else (JSON, MESSAGE)
    first, second = Turns(reply), Turns(wire)
    start(lab, first, second)
    sent = STREAM_BODY if stream else BODY
    client = await lab.client()
    await client.send(post(sent))
    raw = await client.until(wire.partition(b"\r\n\r\n")[2])
    assert raw.partition(b"\r\n\r\n")[2] == wire.partition(b"\r\n\r\n")[2]
    assert is_only(await client.answer(), wire, body)
    assert await client.silent(0.03), client.pending
    (record,) = await lab.records()
    assert (record["attempts"], record["provider"], record["status"]) == (2, "two", 200)
    assert (record["ending"], "error" in record) == ("complete", False)
    (told,) = lab.sink.named("failover")
    assert (told["why"], told["provider"], told["to_provider"]) == (why, "one", "two")
    assert [len(first.got), len(second.got)] == [1, 1]
    assert second.got[0].body == sent
    assert first.got[0].raw_head.partition(b"\r\n")[0] == second.got[0].line


@pytest.mark.parametrize("stream", [False, True])
async def test_where_one_provider_refuses_the_connection_the_other_answers(
    lab: Lab, stream: bool
) -> None:
    wire, body = (STREAM, EVENTS) if stream else (JSON, MESSAGE)
    second = Turns(wire)
    lab.start(
        provider(refused_url(), "one"),
        provider(lab.upstream(second), "two"),
        routing=routing(**QUICK),
    )
    assert is_only(await lab.ask(post(STREAM_BODY if stream else BODY)), wire, body)
    (record,) = await lab.records()
    assert (record["attempts"], record["provider"]) == (2, "two")
    (told,) = lab.sink.named("failover")
    assert (told["why"], told["provider"], told["to_provider"]) == ("unreachable", "one", "two")


@pytest.mark.parametrize("fault", ["429 until", "429", "401", "402", "403", "403 model"])
async def test_where_one_key_fails_the_other_key_answers(lab: Lab, fault: str) -> None:
    turns = Turns(FAULTS[fault][0], STREAM)
    lab.start(
        provider(lab.upstream(turns), keys=["test-key-1", "test-key-2"]), routing=routing(**QUICK)
    )
    assert is_only(await lab.ask(post(STREAM_BODY)), STREAM, EVENTS)
    assert sorted(turns.keys) == ["test-key-1", "test-key-2"]
    (told,) = lab.sink.named("failover")
    assert told["key"] != told["to_key"]
    assert (await lab.records())[0]["attempts"] == 2


async def test_what_is_the_providers_fault_leads_to_another_provider_before_another_key(
    lab: Lab,
) -> None:
    first, second = Turns(fault(529)), Turns(fault(529))
    third = Turns(JSON)
    lab.start(
        provider(lab.upstream(first), "one", keys=["test-key-1", "test-key-2"]),
        provider(lab.upstream(second), "two"),
        provider(lab.upstream(third), "three"),
        routing=routing(**QUICK),
    )
    assert (await lab.ask(post())).status == 200
    assert [len(first.got), len(second.got), len(third.got)] == [1, 1, 1]


async def test_the_other_keys_of_a_failed_provider_are_the_last_resort(lab: Lab) -> None:
    first, second = Turns(fault(500), JSON), Turns(fault(529))
    lab.start(
        provider(lab.upstream(first), "one", keys=["test-key-1", "test-key-2"]),
        provider(lab.upstream(second), "two"),
        routing=routing(**QUICK),
    )
    assert (await lab.ask(post())).status == 200
    assert sorted(first.keys) == ["test-key-1", "test-key-2"]
    assert len(second.got) == 1


async def test_a_provider_without_the_model_is_not_asked_with_its_other_key(lab: Lab) -> None:
    first, second = Turns(UNKNOWN_MODEL), Turns(JSON)
    lab.start(
        provider(lab.upstream(first), "one", keys=["test-key-1", "test-key-2"]),
        provider(lab.upstream(second), "two"),
        routing=routing(**QUICK),
    )
    assert (await lab.ask(post())).status == 200
    assert [len(first.got), len(second.got)] == [1, 1]


async def test_the_clients_connection_serves_on_behind_a_failover(lab: Lab) -> None:
    start(lab, Turns(fault(529)), Turns(STREAM))
    client = await lab.client()
    for _ in range(4):
        assert (await client.ask(post(STREAM_BODY))).body == EVENTS
    assert [record["attempts"] for record in lab.sink.records] == [2, 1, 1, 1]  # it stays there


async def test_count_tokens_goes_on_to_the_next_provider_too(lab: Lab) -> None:
    wire = response(200, b'{"input_tokens":7}')
    first, second = Turns(fault(500)), Turns(wire)
    start(lab, first, second)
    answer = await lab.ask(post(path=b"/v1/messages/count_tokens"))
    assert (answer.status, answer.body) == (200, b'{"input_tokens":7}')
    assert second.got[0].line == b"POST /v1/messages/count_tokens HTTP/1.1"


# ---- what is not tried again


@pytest.mark.parametrize(
    "wire",
    [
        fault(404, "not_found_error", "File not found"),
        response(
            418,
            b'{"type":"error","error":{"type":"invalid_request_error","message":"stout"}}',
            [(b"X-Pot", b"tea")],
        ),
    ],
    ids=["404", "418"],
)
@pytest.mark.parametrize("body", [BODY, STREAM_BODY], ids=["whole", "stream"])
async def test_errors_of_the_request_are_forwarded_unmodified_and_not_retried(
    lab: Lab, wire: bytes, body: bytes
) -> None:
    first, second = Turns(wire), Turns(JSON)
    start(lab, first, second)
    client = await lab.client()
    await client.send(post(body))
    raw = await client.until(wire.partition(b"\r\n\r\n")[2])
    assert raw.partition(b"\r\n")[0] == wire.partition(b"\r\n")[0]
    answer = await client.answer()
    assert (answer.headers, answer.body) == (head_of(wire), wire.partition(b"\r\n\r\n")[2])
    assert [len(first.got), len(second.got)] == [1, 0]
    assert lab.sink.named("failover") == []
    assert (await lab.records())[0]["attempts"] == 1


async def test_an_error_event_about_the_request_passes_as_it_is(lab: Lab) -> None:
    told = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    events = START + event("error", told)
    second = Turns(STREAM)
    start(lab, Turns(CHUNKED_HEAD + chunks(events)), second)
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.status, answer.cut, answer.body) == (200, False, events)
    assert second.got == []


# ---- nobody can


@pytest.mark.parametrize(
    ("replies", "shown"),
    [
        (("closed", "500", "529"), 2),
        (("529", "500", "closed"), 0),
        (("500", "401", "silence"), 0),
        (("402", "closed", "401"), 1),
        (("429", "529", "500"), 1),
        (("529", "429 until", "500"), 1),
        (("500", "502 page", "504"), 2),
        (("404 model", "401", "404 model"), 2),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_when_all_fail_the_most_telling_error_is_shown_as_it_came(
    lab: Lab, replies: tuple[str, ...], shown: int, stream: bool
) -> None:
    turns = [Turns(FAULTS[name][0]) for name in replies]
    start(lab, *turns)
    answer = await lab.ask(post(STREAM_BODY if stream else BODY))
    assert [len(turn.got) for turn in turns] == [1, 1, 1]
    told = FAULTS[replies[shown]][0]
    if not isinstance(told, bytes):
        assert (answer.status, answer.error["type"]) == (502, "api_error")
        assert ("one", "two", "three")[shown] in answer.error["message"]
    else:
        own = {b"retry-after"}  # when it is worth coming back is known better here
        assert answer.body == told.partition(b"\r\n\r\n")[2]
        assert [f for f in answer.headers if f[0].lower() not in own] == [
            f for f in head_of(told) if f[0].lower() not in own
        ]
    (record,) = await lab.records()
    assert (record["attempts"], record["status"]) == (3, answer.status)


async def test_when_all_keys_rest_the_error_says_when_the_first_is_back(lab: Lab) -> None:
    first = Turns(fault(429, "rate_limit_error", "one", [(b"Retry-After", b"9")]))
    second = Turns(fault(429, "rate_limit_error", "two", [(b"Retry-After", b"40")]))
    start(lab, first, second)
    answer = await lab.ask(post())
    assert (answer.status, answer.json()["error"]["message"]) == (429, "two")
    assert [value for name, value in answer.headers if name.lower() == b"retry-after"] == [b"9"]
    again = await lab.ask(post())  # nobody is asked: the answer is the relay's own
    assert (again.status, again.get(b"retry-after")) == (429, b"9")
    assert again.error["type"] == "rate_limit_error"
    assert [len(first.got), len(second.got)] == [1, 1]


async def test_an_error_event_of_the_last_one_passes_as_it_is(lab: Lab) -> None:
    events = START + OVERLOADED
    start(lab, Turns(fault(500)), Turns(CHUNKED_HEAD + chunks(events)))
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.status, answer.cut, answer.body) == (200, False, events)
    assert (await lab.records())[0]["error"] == "error_event"


async def test_an_error_event_becomes_an_answer_when_a_later_one_tells_less(lab: Lab) -> None:
    start(lab, Turns(CHUNKED_HEAD + chunks(START + OVERLOADED)), Turns(hang_up))
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.status, answer.json()) == (529, {"type": "error", "error": OVERLOADED_ERROR})


OVERLOADED_ERROR = {"type": "overloaded_error", "message": "Overloaded"}


# ---- bounds


async def test_no_more_attempts_than_configured(lab: Lab) -> None:
    turns = [Turns(fault(500, message=name)) for name in ("a", "b", "c")]
    start(lab, *turns, attempts_max=2)
    answer = await lab.ask(post())
    assert answer.json()["error"]["message"] == "b"
    assert [len(turn.got) for turn in turns] == [1, 1, 0]


async def test_no_target_is_asked_twice_for_one_request(lab: Lab) -> None:
    turns = Turns(fault(500))
    lab.start(
        provider(lab.upstream(turns), keys=["test-key-1", "test-key-2", "test-key-3"]),
        routing=routing(**QUICK, attempts_max=32),
        health=Health(failures=100),
    )
    assert (await lab.ask(post())).status == 500
    assert sorted(turns.keys) == ["test-key-1", "test-key-2", "test-key-3"]


async def test_a_spent_retry_budget_lets_errors_pass(lab: Lab) -> None:
    first, second = Turns(fault(503)), Turns(JSON)
    start(
        lab,
        first,
        second,
        retry_budget=RetryBudget(ratio=0, minimum=2),
        affinity=Affinity(enabled=False),
    )
    statuses = [(await lab.ask(post())).status for _ in range(4)]
    assert statuses == [200, 200, 503, 503]
    assert [len(first.got), len(second.got)] == [4, 2]
    assert len(lab.sink.named("retry_budget_spent")) == 2


async def test_errors_that_cannot_be_tried_elsewhere_cost_no_budget(lab: Lab) -> None:
    alone = Turns(fault(500), fault(500), fault(500), JSON)
    lab.start(
        provider(lab.upstream(alone), "alone", models=["alone"]),
        provider(lab.upstream(Turns(fault(500))), "one", models=["claude-*"]),
        provider(lab.upstream(Turns(JSON)), "two", models=["claude-*"]),
        routing=routing(**QUICK, retry_budget=RetryBudget(ratio=0, minimum=1)),
        health=Health(failures=100),
    )
    for _ in range(3):
        assert (await lab.ask(post(b'{"model":"alone"}'))).status == 500
    assert (await lab.ask(post())).status == 200
    assert lab.sink.named("retry_budget_spent") == []


# ---- bodies that are sent again


@pytest.mark.parametrize("reply", [fault(529), hang_up, stall], ids=["529", "closed", "silence"])
async def test_a_megabyte_is_sent_again_exactly(lab: Lab, reply: Reply) -> None:
    first, second = Turns(reply), Turns(JSON)
    start(lab, first, second)
    body = padded(1 << 20)
    assert (await lab.ask(post(body))).status == 200
    assert [request.body for request in (*first.got, *second.got)] == [body, body]
    hosts = [upstream.url.removeprefix("http://").encode() for upstream in lab.upstreams]
    assert first.got[0].raw_head.replace(*hosts) == second.got[0].raw_head


async def test_a_chunked_body_is_sent_again_exactly(lab: Lab) -> None:
    first, second = Turns(fault(529)), Turns(JSON)
    start(lab, first, second)
    body = padded(300_000, model_last=True)
    pieces = [body[at : at + 10_007] for at in range(0, len(body), 10_007)]
    assert (await lab.ask(chunked_post(pieces))).status == 200
    assert [request.body for request in (*first.got, *second.got)] == [body, body]


@pytest.mark.parametrize("ends", [hang_up, break_off, stall], ids=["close", "reset", "stay"])
async def test_an_upload_under_way_goes_on_to_the_next_provider(lab: Lab, ends: Reply) -> None:
    said = asyncio.Event()

    async def hasty(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.send(fault(529))
        said.set()
        if ends is stall:
            await peer.gone()
        elif ends is break_off:
            await asyncio.sleep(0.05)
            peer.reset()

    second = Turns(STREAM)
    lab.start(
        provider(lab.upstream(hasty), "one"),
        provider(lab.upstream(second), "two"),
        routing=routing(**QUICK),
    )
    body = padded(1 << 20)[:-1] + b',"stream":true}'
    wire = post(body, headers=[(b"x-claude-code-session-id", b"s-1")])
    client = await lab.client()
    await client.send(wire[:600_000])
    await said.wait()
    await asyncio.sleep(0.05)
    await client.send(wire[600_000:])
    answer = await client.answer()
    assert (answer.status, answer.cut, answer.body) == (200, False, EVENTS)
    assert second.got[0].body == body
    assert answer.get(b"connection") is None
    assert (await client.ask(post(STREAM_BODY))).body == EVENTS


async def test_what_is_left_of_an_upload_streams_on_to_the_next_provider(lab: Lab) -> None:
    stage = Stage(whole_request=False)
    lab.start(
        provider(lab.upstream(hasty_529), "one"),
        provider(lab.upstream(stage), "two"),
        routing=routing(**QUICK),
    )
    body = padded(800_000)
    wire = post(body, headers=[(b"x-claude-code-session-id", b"s-1")])
    client = await lab.client()
    await client.send(wire[:300_000])
    peer = await stage.peer()  # it is asked before the client has sent everything
    await peer.until(b"x" * 1000)
    await client.send(wire[300_000:])
    seen = await peer.request()
    assert seen.body == body
    await peer.send(JSON)
    assert (await client.answer()).body == MESSAGE


async def hasty_529(peer: Peer) -> None:
    await peer.until(b"\r\n\r\n")
    await peer.send(fault(529))


# ---- past the commit point


BEGUN = START + BLOCK + delta("Hello")


@pytest.mark.parametrize("ends", [hang_up, break_off, b"zz\r\n"], ids=["close", "reset", "garbage"])
async def test_a_cut_after_content_is_passed_on_and_not_retried(lab: Lab, ends: Reply) -> None:
    stage = Stage()
    second = Turns(STREAM)
    lab.start(
        provider(lab.upstream(stage), "one"),
        provider(lab.upstream(second), "two"),
        routing=routing(**QUICK),
    )
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await stage.peer()
    await peer.send(CHUNKED_HEAD + chunks(BEGUN, last=False))
    await client.until(b"Hello")
    if isinstance(ends, bytes):
        await peer.send(ends)
    elif ends is break_off:
        peer.reset()
    else:
        peer.close()
    answer = await client.answer(wait_s=0.5)
    assert (answer.status, answer.cut, answer.body) == (200, True, BEGUN)
    await asyncio.sleep(0.05)
    assert (second.got, lab.sink.named("failover")) == ([], [])
    assert [u.connections for u in lab.upstreams] == [1, 0]
    (record,) = await lab.records()
    assert (record["ending"], record["status"]) == ("upstream_cut", 200)


async def test_half_a_whole_response_is_a_cut_and_not_retried(lab: Lab) -> None:
    first = Turns(then(response(200, b'{"type":"message","half":', length=100), break_off))
    second = Turns(JSON)
    start(lab, first, second)
    answer = await lab.ask(post())
    assert (answer.cut, answer.body) == (True, b'{"type":"message","half":')
    assert [len(first.got), len(second.got)] == [1, 0]


# ---- behind an early head


EARLY = {**QUICK, "early_head_s": 0.1, "ping_s": 0.1, "first_byte_s": 0.3, "idle_s": 0.3}


def without_pings(body: bytes) -> list[tuple[str, str]]:
    return [found for found in events_in(body) if found[0] != "ping"]


@pytest.mark.parametrize(
    "reply",
    [
        stall,
        then(CHUNKED_HEAD + chunks(START, last=False), stall),
        then(CHUNKED_HEAD, stall),
    ],
    ids=["no head", "held start", "held head"],
)
async def test_pings_and_then_the_second_providers_stream_are_one_stream(
    lab: Lab, reply: Reply
) -> None:
    start(lab, Turns(reply), Turns(STREAM), **EARLY)
    client = await lab.client()
    answer = await client.ask(post(STREAM_BODY))
    assert (answer.status, answer.cut) == (200, False)
    assert events_in(answer.body)[0][0] == "ping"
    assert without_pings(answer.body) == events_in(EVENTS)
    assert await client.silent(0.03), client.pending
    (record,) = await lab.records()
    assert (record["attempts"], record["status"], record["ending"]) == (2, 200, "complete")
    assert (await client.ask(post(STREAM_BODY))).body == EVENTS


@pytest.mark.parametrize("ends", [hang_up, break_off])
async def test_a_held_head_of_a_failed_provider_is_forgotten_before_pings_begin(
    lab: Lab, ends: Script
) -> None:
    first = then(CHUNKED_HEAD + chunks(START, last=False), ends)
    stage = Stage()
    lab.start(
        provider(lab.upstream(Turns(first)), "one"),
        provider(lab.upstream(stage), "two"),
        routing=routing(**{**EARLY, "first_byte_s": 2.0, "early_head_s": 0.25}),
    )
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await stage.peer()
    await client.until(b"event: ping")
    await peer.send(STREAM)
    answer = await client.answer()
    assert (answer.status, answer.cut) == (200, False)
    assert without_pings(answer.body) == events_in(EVENTS)
    assert b"HTTP/1.1" not in answer.body


@pytest.mark.parametrize(
    ("last", "kind"),
    [(fault(529, "overloaded_error", "Overloaded"), "overloaded_error"), (hang_up, "api_error")],
    ids=["529", "closed"],
)
async def test_when_all_fail_behind_an_early_head_the_error_is_an_event(
    lab: Lab, last: Reply, kind: str
) -> None:
    start(lab, Turns(stall), Turns(last), **EARLY)
    client = await lab.client()
    answer = await client.ask(post(STREAM_BODY))
    assert (answer.status, answer.cut) == (200, False)
    ((name, data),) = without_pings(answer.body)
    assert name == "error"
    assert f'"{kind}"' in data
    assert await client.silent(0.03), client.pending


async def test_the_most_telling_error_is_the_event_behind_an_early_head(lab: Lab) -> None:
    wire = fault(429, "rate_limit_error", "Number of request tokens has exceeded", [RETRY_7])
    start(lab, Turns(stall), Turns(wire), Turns(hang_up), **EARLY)
    answer = await lab.ask(post(STREAM_BODY))
    ((name, data),) = without_pings(answer.body)
    assert (name, data.encode()) == ("error", wire.partition(b"\r\n\r\n")[2])


# ---- the client leaves


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_during_a_failover_leaks_nothing_and_counts_against_no_target(
    lab: Lab, how: str
) -> None:
    stage = Stage()
    lab.start(
        provider(lab.upstream(Turns(fault(529))), "one"),
        provider(lab.upstream(stage), "two"),
        routing=routing(**{**QUICK, "first_byte_s": 5.0}),
    )
    relay = lab.relay
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await stage.peer()
    client.reset() if how == "reset" else client.close()
    await peer.gone(1)
    (record,) = await lab.records()
    assert (record["ending"], record["attempts"]) == ("client_left", 2)
    now = relay.reactor.clock()
    assert [service.usable(now) for service in relay.providers] == [True, True]
    assert relay.providers[1].endpoint.stats.outcomes(now, 30.0) == (0, 0)
    assert [service.key_pool.in_flight for service in relay.providers] == [0, 0]
    await eventually(lambda: relay.reactor.arena.out == 0)


async def test_a_client_that_leaves_during_the_second_dial_counts_against_no_target(
    lab: Lab,
) -> None:
    second = Turns(JSON)
    lab.start(
        provider(lab.upstream(Turns(fault(529))), "one"),
        provider(lab.upstream(second), "two"),
        routing=routing(**QUICK),
    )
    pool = lab.relay.context.config.pools["two"]
    dial, began = pool.dialer.dial, asyncio.Event()

    async def slowly() -> object:
        began.set()
        await asyncio.sleep(0.1)
        return await dial()

    pool.dialer.dial = slowly  # type: ignore[method-assign]
    client = await lab.client()
    await client.send(post())
    await began.wait()
    client.close()
    (record,) = await lab.records()
    assert record["ending"] == "client_left"
    await eventually(lambda: lab.relay.stats()["idle_upstreams"] == 2)  # for the next one
    assert second.got == []
    now = lab.relay.reactor.clock()
    assert lab.relay.providers[1].endpoint.stats.outcomes(now, 30.0) == (0, 0)
