"""The real Claude Code CLI when its only upstream fails: the relay passes the failure on as it is.

What the CLI then does was measured without a relay (client reference, section 6); behind one it
must do the same. With other keys and providers to go to: `test_claude_failover.py`.
"""

import http.client
import json
from collections import Counter

import pytest

from tests.client.checks import assert_passed_through, events

pytestmark = [pytest.mark.client, pytest.mark.process]

FEW = {"CLAUDE_CODE_MAX_RETRIES": "2"}
RESETS = 150
SILENCE_S = 15.0
STREAM = (
    b'{"model":"claude-x","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
)


def statuses(found):
    return [pair.client.status for pair in found]


def test_a_429_is_retried_after_its_retry_after(claude, open_rig):
    rig = open_rig(script="429,retry_after=2,ok")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code == 0
    assert run.of_type("system", "api_retry")[0]["retry_delay_ms"] >= 2000
    assert statuses(assert_passed_through(rig)) == [429, 200]


def test_a_429_with_should_retry_false_is_not_retried(claude, open_rig):
    rig = open_rig(script="429,should_retry=false,message=spend limit reached")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.retries == []
    assert "spend limit reached" in run.text
    assert statuses(assert_passed_through(rig)) == [429]


def test_overloads_are_retried(claude, open_rig):
    rig = open_rig(script="529,529,ok")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code == 0
    assert run.retries == [529, 529]
    found = assert_passed_through(rig)
    assert statuses(found) == [529, 529, 200]
    assert len({pair.upstream.body for pair in found}) == 1


def test_a_lasting_overload_is_reported(claude, open_rig):
    rig = open_rig(script="529")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code != 0
    assert "529 Overloaded" in run.text
    assert statuses(assert_passed_through(rig)) == [529, 529, 529]


def test_prompt_too_long_is_recognised(claude, open_rig):
    text = "prompt is too long: 210000 tokens > 200000 maximum"
    rig = open_rig(script=f"400,message={text}")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.result["terminal_reason"] == "prompt_too_long"
    [(client, _)] = assert_passed_through(rig)
    assert json.loads(client.payload)["error"]["message"] == text


def test_a_400_makes_the_client_drop_betas_one_by_one(claude, open_rig):
    rig = open_rig(script="400")
    claude.ask(rig.url, "hi", **FEW)
    found = assert_passed_through(rig)
    betas = [pair.upstream.field(b"anthropic-beta") for pair in found]
    assert len(found) == 6
    assert len(set(betas)) > 3  # each variant is forwarded as sent


@pytest.mark.parametrize("kind", ["overloaded_error", "api_error"])
def test_an_error_event_after_text_is_forwarded_unchanged(claude, open_rig, kind):
    rig = open_rig(script=f"error_mid,type={kind},ok")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code == 0
    first, second = assert_passed_through(rig)
    assert events(first.client.payload)[-1] == "error"
    assert kind.encode() in first.client.payload
    assert first.client.body.endswith(b'"stream":true}')
    assert b'"stream":true' not in second.client.body[-20:]  # its fallback without stream, once


def test_an_error_event_before_text_is_retried_as_a_stream(claude, open_rig):
    rig = open_rig(script="error_first,ok")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code == 0
    found = assert_passed_through(rig)
    assert [events(pair.client.payload)[-1] for pair in found] == ["error", "message_stop"]


@pytest.mark.parametrize("fault", ["cut_mid_event", "cut_mid_event,clean=true"])
def test_a_broken_stream_is_broken_for_the_client(claude, open_rig, fault):
    rig = open_rig(script=f"{fault},ok")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code == 0
    found = assert_passed_through(rig)
    assert statuses(found) == [200, 200]
    assert found[0].client.is_whole == (fault != "cut_mid_event")
    assert "message_stop" not in events(found[0].client.payload)


def test_a_reset_before_the_head_is_retried(claude, open_rig):
    rig = open_rig(script="reset_before_head,ok")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code == 0
    assert [seen.status for seen in rig.front.seen()] == [502, 200]
    assert rig.front.seen()[0].response_field(b"content-type") == b"application/json"


@pytest.mark.parametrize("fault", ["gzip", "split", "crlf", "comments", "sized", "close_delimited"])
def test_unusual_valid_streams_are_accepted(claude, open_rig, fault):
    rig = open_rig(script=fault)
    run = claude.ask(rig.url, "hi there", **FEW)
    assert run.retries == []
    assert "You said: “hi there”" in run.text
    assert_passed_through(rig)


def test_a_reset_in_a_stream_is_forwarded_at_once(open_rig):
    # Data and RST often arrive together; a relay that only reads the data would wait forever.
    rig = open_rig(script="reset_mid_stream")
    endings = Counter(ending(rig.front.port) for _ in range(RESETS))
    assert endings["TimeoutError"] == 0, endings
    assert sum(endings.values()) == RESETS


def ending(port):
    """How a stream ends for a client with an idle timeout of SILENCE_S."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SILENCE_S)
    try:
        connection.request("POST", "/v1/messages", STREAM, {"x-api-key": "test-key-1"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()
    return "whole"
