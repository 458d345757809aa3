"""The real Claude Code CLI when its only provider sends something that is no answer."""

from typing import Any

import pytest

from tests.client.rig import pooled

pytestmark = [pytest.mark.client, pytest.mark.process]

FEW = {"CLAUDE_CODE_MAX_RETRIES": "2"}
GREETING = "You said: “hi”"


def patient(upstream: str) -> dict[str, Any]:
    """One provider with three keys, whose breaker stays closed: else requests wait for it."""
    return {**pooled(upstream), "health": {"failures": 100}}


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("html_200", "a web page"),
        ("json_200,kind=error", "JSON that is no message"),
        ("empty_200", "nothing"),
        ("only_message_start", "an event stream without content"),
        ("307", "with a redirect"),
    ],
)
def test_what_is_no_answer_is_reported_with_its_provider(claude, open_rig, fault, what):
    rig = open_rig(patient, script=fault)
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code != 0
    assert run.retries == [502, 502]
    assert "Provider mock answered" in run.text
    assert what in run.text
    assert [seen.status for seen in rig.front.seen()][:3] == [502] * 3


@pytest.mark.parametrize("fault", ["html_200", "json_200,kind=error", "empty_200"])
def test_another_key_does_not_help_and_a_retry_does(claude, open_rig, fault):
    rig = open_rig(patient, script=f"{fault},{fault},{fault},ok")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code == 0
    assert GREETING in run.text
    assert len(rig.demo.requests) == 4


def test_a_quota_in_a_403_rests_its_key_and_disables_none(claude, open_rig):
    rig = open_rig(patient, script="403,message=You exceeded your current quota,ok")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.retries == []
    assert GREETING in run.text
    [cooldown] = rig.events("key_cooldown")
    assert cooldown["why"] == "quota_spent"
    assert rig.events("key_disabled") == []


def test_a_packed_answer_that_was_not_asked_for_is_read(claude, open_rig):
    rig = open_rig(patient, script="gzip")
    run = claude.ask(rig.url, "hi", **FEW)
    assert GREETING in run.text
    [record] = rig.exchanges(1)
    assert record["output"] > 0
    assert record["stop"] == "end_turn"
