"""Thinking blocks of another vendor: left out where they would be refused, and nowhere else."""

import gzip
import json
import re

import pytest

from ccrelay.config.model import Health
from tests.loopback.relay.harness import Lab, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Reply, Turns
from tests.loopback.relay.wires import EVENTS, MESSAGE, chunked_post, fault, post

SESSION = (b"x-claude-code-session-id", b"s-1")
CLAUDES = "Eq" + "Ab3/" * 20  # what Claude's signatures look like
OURS = f'{{"type":"thinking","thinking":"I, Claude","signature":"{CLAUDES}"}}'
FOREIGN = '{"type":"thinking","thinking":"I, another","signature":"c2lnbmVkIGVsc2V3aGVyZQ=="}'
UNSIGNED = '{"type":"thinking","thinking":"hm\\u00e9","signature":""}'
REDACTED = '{"type":"redacted_thinking","data":"Er0B"}'
TEXT = '{"type":"text","text":"Said \\ud83d\\ude00 12345678901234567890"}'
REFUSED = fault(
    400,
    "invalid_request_error",
    "messages.1.content.0: Invalid `signature` in `thinking` block",
)
CUT = fault(529, "overloaded_error", "Overloaded")


def body(*blocks: str, stream: bool = False, rest: str = "") -> bytes:
    """A second turn, behind an assistant's with these blocks."""
    turns = (
        '{"role":"user","content":"one"}',
        f'{{"role":"assistant","content":[{",".join(blocks)}]}}',
        '{"role":"user","content":"two"}',
    )
    more = '"thinking":{"type":"adaptive"}' + (',"stream":true' if stream else "") + rest
    model = '"n":1.0e0,"model":"claude-test-1"'
    return f'{{{model},"messages":[{",".join(turns)}],{more}}}'.encode()


FIRST = b'{"model":"claude-test-1","messages":[{"role":"user","content":"one"}]}'


class Two:
    """A provider that takes any thinking, and Claude's own, in this order of preference."""

    def __init__(self, lab: Lab, other: Turns, claude: Turns, order: str = "other claude") -> None:
        self.lab, self.other, self.claude = lab, other, claude
        made = {
            "other": provider(lab.upstream(other), "other"),
            "claude": provider(
                lab.upstream(claude), "claude", type="anthropic", auth=None, models=["claude-*"]
            ),
        }
        lab.start(
            *[made[name] for name in order.split()],
            routing=routing(strategy="failover", queue_timeout_s=0),
            health=Health(failures=100),
        )

    async def ask(self, sent: bytes) -> bytes:
        answer = await self.lab.ask(post(sent, headers=[SESSION]))
        assert answer.status == 200, answer.body
        return answer.body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("foreign", [FOREIGN, UNSIGNED], ids=["signed elsewhere", "unsigned"])
async def test_what_claude_would_refuse_is_left_out_for_claude_alone(
    lab: Lab, foreign: str, stream: bool
) -> None:
    two = Two(lab, Turns(JSON, CUT, JSON), Turns(STREAM if stream else JSON))
    await two.ask(FIRST)
    sent = body(OURS, foreign, REDACTED, TEXT, stream=stream)
    assert await two.ask(sent) == (EVENTS if stream else MESSAGE)
    assert [r.body for r in two.other.got] == [FIRST, sent]  # untouched
    assert [r.body for r in two.claude.got] == [body(OURS, REDACTED, TEXT, stream=stream)]
    (record,) = lab.sink.records[1:]
    assert (record["provider"], record["attempts"]) == ("claude", 2)
    assert len(lab.sink.named("conversation_moved")) == 1


async def test_on_the_next_turns_they_are_left_out_at_once(lab: Lab) -> None:
    two = Two(lab, Turns(JSON, CUT, JSON), Turns(JSON))
    await two.ask(FIRST)
    for _ in range(3):
        await two.ask(body(FOREIGN, TEXT))
    assert [r.body for r in two.claude.got] == [body(TEXT)] * 3
    assert lab.sink.named("thinking_stripped") == []


async def test_a_turn_of_nothing_but_foreign_thinking_is_left_out(lab: Lab) -> None:
    two = Two(lab, Turns(JSON, CUT), Turns(JSON))
    await two.ask(FIRST)
    await two.ask(body(FOREIGN))
    turns = json.loads(two.claude.got[0].body)["messages"]
    assert turns == [{"role": "user", "content": text} for text in ("one", "two")]


async def test_claudes_own_thinking_goes_to_the_other_and_comes_back_whole(lab: Lab) -> None:
    two = Two(lab, Turns(JSON, JSON, CUT), Turns(JSON, CUT, JSON), order="claude other")
    await two.ask(FIRST)
    sent = body(OURS, REDACTED, TEXT)
    await two.ask(sent)  # claude fails, and the other gets the same bytes
    mixed = body(OURS, FOREIGN, REDACTED, TEXT)
    await two.ask(mixed)
    await two.ask(mixed)  # the other fails, and claude gets what is its own
    assert [r.body for r in two.other.got] == [sent, mixed, mixed]
    assert [r.body for r in two.claude.got] == [FIRST, sent, sent]


async def test_when_claude_fails_the_other_gets_every_block(lab: Lab) -> None:
    """What is left out for one target is there for the next."""
    two = Two(lab, Turns(JSON, CUT, JSON), Turns(JSON, CUT))
    await two.ask(FIRST)
    sent = body(FOREIGN, TEXT)
    await two.ask(sent)  # moves to claude
    await two.ask(sent)  # and back
    assert [r.body for r in two.claude.got] == [body(TEXT)] * 2
    assert [r.body for r in two.other.got] == [FIRST, sent, sent]
    assert lab.sink.records[-1]["provider"] == "other"


async def test_a_conversation_of_claudes_alone_is_not_touched(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(
        provider(
            lab.upstream(turns), "claude", type="anthropic", auth=None, keys=["key-1", "key-2"]
        )
    )
    sent = body(FOREIGN, TEXT, rest=',  "x" : [ 1 ]')
    for _ in range(2):
        assert (await lab.ask(post(sent, headers=[SESSION]))).status == 200
    assert [r.body for r in turns.got] == [sent, sent]


# ---- refused all the same


async def alone(lab: Lab, turns: Turns, *, kind: str = "anthropic", keys: int = 1) -> None:
    lab.start(
        provider(
            lab.upstream(turns),
            "claude",
            type=kind,
            auth="x-api-key",
            keys=[f"key-{n}" for n in range(keys)],
        ),
        routing=routing(queue_timeout_s=0),
    )


@pytest.mark.parametrize("keys", [1, 2])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_signature_is_tried_once_more_without_the_foreign_blocks(
    lab: Lab, stream: bool, keys: int
) -> None:
    turns = Turns(REFUSED, STREAM if stream else JSON)
    await alone(lab, turns, keys=keys)
    sent = body(OURS, FOREIGN, REDACTED, TEXT, stream=stream)
    answer = await lab.ask(post(sent, headers=[SESSION]))
    assert (answer.status, answer.body) == (200, EVENTS if stream else MESSAGE)
    assert [r.body for r in turns.got] == [sent, body(OURS, REDACTED, TEXT, stream=stream)]
    assert len(set(turns.keys)) == 1
    length = re.compile(rb"(?i)content-length: [0-9]+")
    first, second = (length.sub(b"", request.raw_head) for request in turns.got)
    assert first == second
    (record,) = await lab.records()
    assert (record["attempts"], record["status"]) == (2, 200)
    (told,) = lab.sink.named("thinking_stripped")
    assert (told["provider"], told["all"]) == ("claude", False)


@pytest.mark.parametrize(
    ("blocks", "sent"),
    [((OURS, REDACTED, TEXT), ((TEXT,),)), ((OURS, FOREIGN, TEXT), ((OURS, TEXT),))],
    ids=["its own", "mixed"],
)
async def test_refused_again_without_the_foreign_blocks_the_error_passes(
    lab: Lab, blocks: tuple[str, ...], sent: tuple[tuple[str, ...], ...]
) -> None:
    turns = Turns(REFUSED)
    await alone(lab, turns)
    answer = await lab.ask(post(body(*blocks), headers=[SESSION]))
    assert (answer.status, answer.body) == (400, REFUSED.partition(b"\r\n\r\n")[2])
    assert [r.body for r in turns.got] == [body(*blocks), *[body(*left) for left in sent]]


async def test_once_all_of_it_was_refused_the_conversation_goes_without(lab: Lab) -> None:
    turns = Turns(REFUSED, JSON)
    await alone(lab, turns, keys=2)
    for _ in range(3):
        answer = await lab.ask(post(body(OURS, TEXT), headers=[SESSION]))
        assert answer.status == 200
    assert [r.body for r in turns.got] == [body(OURS, TEXT), *[body(TEXT)] * 3]


@pytest.mark.parametrize(
    "reply",
    [
        fault(400, "invalid_request_error", "messages.1.content.0: too long"),
        fault(400, "invalid_request_error", "max_tokens must be greater than thinking.budget"),
    ],
)
async def test_other_refusals_pass_at_once(lab: Lab, reply: Reply) -> None:
    turns = Turns(reply, JSON)
    await alone(lab, turns)
    assert (await lab.ask(post(body(FOREIGN, TEXT)))).status == 400
    assert len(turns.got) == 1


async def test_a_refusal_passes_where_there_is_nothing_to_leave_out(lab: Lab) -> None:
    turns = Turns(REFUSED, JSON)
    await alone(lab, turns)
    answer = await lab.ask(post(FIRST))
    assert (answer.status, answer.body) == (400, REFUSED.partition(b"\r\n\r\n")[2])
    assert len(turns.got) == 1


async def test_a_provider_said_to_take_anything_is_mended_too(lab: Lab) -> None:
    turns = Turns(REFUSED, JSON)
    await alone(lab, turns, kind="compatible")
    assert (await lab.ask(post(body(FOREIGN, TEXT)))).status == 200
    assert [r.body for r in turns.got] == [body(FOREIGN, TEXT), body(TEXT)]


@pytest.mark.parametrize("how", ["chunked", "gzip", "mapped"])
async def test_however_the_body_came_the_rest_of_it_stays(lab: Lab, how: str) -> None:
    turns = Turns(REFUSED, JSON)
    mapping = {"claude-test-1": "claude-new"} if how == "mapped" else {}
    lab.start(
        provider(lab.upstream(turns), type="anthropic", model_mapping=mapping, models=["claude-*"])
    )
    sent = body(FOREIGN, TEXT)
    wire = post(sent)
    if how == "chunked":
        wire = chunked_post([sent[:50], sent[50:]])
    elif how == "gzip":
        wire = post(gzip.compress(sent), headers=[(b"content-encoding", b"gzip")])
    assert (await lab.ask(wire)).status == 200
    asked = b'"claude-new"' if how == "mapped" else b'"claude-test-1"'
    expected = [sent, body(TEXT)]
    assert [r.body for r in turns.got] == [b.replace(b'"claude-test-1"', asked) for b in expected]
    assert {r.get(b"content-encoding") for r in turns.got} == {None}


async def test_a_mended_request_that_fails_otherwise_goes_on_with_every_block(lab: Lab) -> None:
    two = Two(lab, Turns(JSON), Turns(REFUSED, CUT), order="claude other")
    sent = body(FOREIGN, TEXT)
    await two.ask(sent)
    assert [r.body for r in two.claude.got] == [sent, body(TEXT)]
    assert [r.body for r in two.other.got] == [sent]


async def test_a_megabyte_of_thinking_is_mended(lab: Lab) -> None:
    turns = Turns(REFUSED, JSON)
    await alone(lab, turns)
    blocks = [FOREIGN, '{"type":"text","text":"%s"}' % ("x" * 10_000)] * 100
    assert (await lab.ask(post(body(*blocks)))).status == 200
    assert turns.got[1].body == body(*blocks[1::2])
