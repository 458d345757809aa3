import pytest

from ccrelay.demo.script import FaultCall, Script, ScriptRun, parse_call, parse_calls
from ccrelay.errors import BadRequest

MESSAGES = "/v1/messages"


def names(script, count, path=MESSAGES):
    run = ScriptRun(script)
    return [run.next_call(path).name for _ in range(count)]


def test_calls_are_parsed_with_their_options():
    assert parse_calls("529, status=429,retry_after=1 ,ok,slow_head,seconds=0.5") == (
        FaultCall("status", {"code": 529}),
        FaultCall("status", {"code": 429, "retry_after": "1"}),
        FaultCall("ok"),
        FaultCall("slow_head", {"seconds": 0.5}),
    )
    assert parse_call("slow_head=3") == FaultCall("slow_head", {"seconds": 3.0})


@pytest.mark.parametrize(
    "text", ["", ",", "nonsense", "seconds=3", "ok=1", "999", "status,colour=red"]
)
def test_invalid_calls_are_rejected(text):
    with pytest.raises(BadRequest):
        parse_calls(text)


def test_parse_call_rejects_two_calls():
    with pytest.raises(BadRequest):
        parse_call("529,ok")


def test_calls_are_used_in_order_and_the_last_repeats():
    script = Script.parse("529,reset_before_head,ok")
    assert names(script, 5) == ["status", "reset_before_head", "ok", "ok", "ok"]


def test_times_limits_the_number_of_faults():
    assert names(Script(calls=parse_calls("500"), times=2), 4) == ["status", "status", "ok", "ok"]
    assert names(Script(calls=parse_calls("500"), times=0), 1) == ["ok"]


def test_rate_and_seed():
    script = Script(calls=parse_calls("500"), rate=0.2, seed=1)
    first = names(script, 1000)
    assert 150 < first.count("status") < 250
    assert names(script, 1000) == first
    assert names(Script(calls=parse_calls("500"), rate=0.0), 50) == ["ok"] * 50


def test_other_paths_get_no_fault_and_do_not_count():
    run = ScriptRun(Script(calls=parse_calls("529,ok"), delay_s=1.0))
    assert run.next_call("/v1/models").name == "ok"
    assert run.next_call(MESSAGES).name == "status"
    assert (run.delay_s(MESSAGES), run.delay_s("/v1/models")) == (1.0, 0.0)


def test_a_fault_by_key_overrides_the_script():
    run = ScriptRun(Script(calls=parse_calls("500"), by_key=(("key-1", parse_call("401")),)))
    assert run.next_call(MESSAGES, "test-key-1").options == {"code": 401}
    assert run.next_call(MESSAGES, "test-key-2").options == {"code": 500}
    assert run.next_call("/v1/models", "test-key-1").name == "ok"


def test_set_fault_replaces_the_script():
    run = ScriptRun(Script(calls=parse_calls("500"), rate=0.0, times=0))
    run.set_fault(parse_call("529"))
    assert [run.next_call(MESSAGES).name for _ in range(3)] == ["status"] * 3
    run.set_fault(parse_call("ok"))
    run.set_fault(parse_call("402"), key="-2")
    assert run.next_call(MESSAGES, "key-1").name == "ok"
    assert run.next_call(MESSAGES, "key-2").options == {"code": 402}
    run.set_fault(parse_call("ok"), key="-2")
    assert run.next_call(MESSAGES, "key-2").name == "ok"
