"""The real Claude Code CLI when its only provider sends something that is no answer."""

import time
from typing import Any

import pytest

from ccrelay.demo.limits import Quotas
from tests.client.rig import chain, pooled

pytestmark = [pytest.mark.client, pytest.mark.process]

FEW = {"CLAUDE_CODE_MAX_RETRIES": "2"}
GREETING = "You said: “hi”"


def patient(upstream: str) -> dict[str, Any]:
    """One provider with three keys, whose breaker stays closed: else requests wait for it."""
    return {**pooled(upstream), "health": {"failures": 100}}


def one_key(upstream: str) -> dict[str, Any]:
    """One provider with a key, which no breaker covers for."""
    config = patient(upstream)
    [provider] = config["providers"]
    return {**config, "providers": [{**provider, "keys": provider["keys"][:1]}]}


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
    # The client also asks for a title and checks its keys: only the conversation counts.
    mine = [record for record in rig.exchanges(2) if record.get("class") == "main"]
    assert [(record["status"], record["attempts"]) for record in mine] == [(502, 3), (200, 1)]


def test_a_quota_in_a_403_rests_its_key_and_disables_none(claude, open_rig):
    rig = open_rig(patient, script="403,message=You exceeded your current quota,ok")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.retries == []
    assert GREETING in run.text
    [cooldown] = rig.events("key_cooldown")
    assert cooldown["why"] == "quota_spent"
    assert rig.events("key_disabled") == []


QUOTA = "403,message=You have reached your usage limit. It resets in 6 seconds."


def test_a_lone_key_whose_quota_is_spent_serves_again_from_its_reset_on(claude, open_rig):
    rig = open_rig(one_key, script=f"{QUOTA},ok")
    refused = claude.ask(rig.url, "hi", **FEW)
    assert "You have reached your usage limit" in refused.text
    run = claude.ask(rig.url, "hi", **FEW)  # waits for the reset
    assert run.retries == []
    assert GREETING in run.text
    records = rig.exchanges(2)
    assert [record["status"] for record in records] == [403, 200]
    assert records[1]["queued_ms"] > 1000


def test_a_provider_whose_quota_is_back_serves_the_next_conversation(claude, open_rig):
    rig = open_rig(chain, script=f"{QUOTA},ok", others=["ok"])
    runs = [claude.ask(rig.url, "hi", **FEW)]
    time.sleep(6.0)
    runs.append(claude.ask(rig.url, "hi", **FEW))
    assert [run.retries for run in runs] == [[], []]
    assert all(GREETING in run.text for run in runs)
    records = rig.exchanges(2)
    assert [record["provider"] for record in records] == ["second", "first"]


def unhurried(*upstreams: str) -> dict[str, Any]:
    """`chain` with time for a prompt of a megabyte on a machine that others use."""
    return {**chain(*upstreams), "routing": {"strategy": "failover"}}


# The headers of the answer to a small prompt allow less than the next prompt needs.
TAUGHT = Quotas(tokens=200_000, input=200_000, enforced=False)


@pytest.mark.parametrize(("providers", "others"), [(one_key, []), (unhurried, ["ok"])])
def test_a_big_prompt_after_a_small_one_is_sent_at_once(claude, open_rig, providers, others):
    rig = open_rig(providers, quotas=TAUGHT, others=others)
    small = claude.ask(rig.url, "hi", **FEW)
    big = claude.ask(rig.url, "hi " + "lorem ipsum " * 100_000, "--resume", small.session, **FEW)
    assert [small.retries, big.retries] == [[], []]
    assert "You said" in big.text
    records = rig.exchanges(2)
    assert [record["status"] for record in records] == [200, 200]
    assert records[1]["cache_write_5m"] > 200_000
    served_by = [record["provider"] for record in records]
    assert served_by == (["first", "second"] if others else ["mock", "mock"])
    assert "queued_ms" not in records[1]


@pytest.mark.parametrize(("code", "shown"), [("529", "Overloaded"), ("400", "Invalid request")])
def test_a_compressed_error_is_read_and_shown(claude, open_rig, code, shown):
    rig = open_rig(one_key, script=f"{code},packed=true")
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code != 0
    assert shown in run.text
    [record, *_] = rig.exchanges(1)
    assert record["status"] == int(code)


def test_a_packed_answer_that_was_not_asked_for_is_read(claude, open_rig):
    rig = open_rig(patient, script="gzip")
    run = claude.ask(rig.url, "hi", **FEW)
    assert GREETING in run.text
    [record] = rig.exchanges(1)
    assert record["output"] > 0
    assert record["stop"] == "end_turn"
