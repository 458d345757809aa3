import pytest

from ccrelay.demo.script import Call, Script, ScriptRun, parse_call, parse_calls
from ccrelay.errors import BadRequest

MESSAGES = "/v1/messages"


def names(script, count, path=MESSAGES):
    run = ScriptRun(script)
    return [run.next_call(path).name for _ in range(count)]


def test_calls_are_read_with_their_options():
    assert parse_calls("529, status=429,retry_after=1 ,ok,slow_head,seconds=0.5") == (
        Call("status", {"code": 529}),
        Call("status", {"code": 429, "retry_after": "1"}),
        Call("ok"),
        Call("slow_head", {"seconds": 0.5}),
    )
    assert parse_call("slow_head=3") == Call("slow_head", {"seconds": 3.0})


@pytest.mark.parametrize(
    "text", ["", ",", "nonsense", "seconds=3", "ok=1", "999", "status,colour=red"]
)
def test_calls_without_meaning_are_refused(text):
    with pytest.raises(BadRequest):
        parse_calls(text)


def test_one_call_is_not_two():
    with pytest.raises(BadRequest):
        parse_call("529,ok")


def test_a_script_goes_in_order_and_its_last_call_repeats():
    script = Script.parse("529,reset_before_head,ok")
    assert names(script, 5) == ["status", "reset_before_head", "ok", "ok", "ok"]


def test_a_script_ends_after_so_many_faults():
    assert names(Script(calls=parse_calls("500"), times=2), 4) == ["status", "status", "ok", "ok"]
    assert names(Script(calls=parse_calls("500"), times=0), 1) == ["ok"]


def test_the_rate_is_kept_and_a_seed_repeats_it():
    script = Script(calls=parse_calls("500"), rate=0.2, seed=1)
    first = names(script, 1000)
    assert 150 < first.count("status") < 250
    assert names(script, 1000) == first
    assert names(Script(calls=parse_calls("500"), rate=0.0), 50) == ["ok"] * 50


def test_other_paths_are_spared_and_do_not_count():
    run = ScriptRun(Script(calls=parse_calls("529,ok"), delay_s=1.0))
    assert run.next_call("/v1/models").name == "ok"
    assert run.next_call(MESSAGES).name == "status"
    assert (run.delay_s(MESSAGES), run.delay_s("/v1/models")) == (1.0, 0.0)


def test_a_key_may_have_a_fault_of_its_own_that_wins_over_the_script():
    run = ScriptRun(Script(calls=parse_calls("500"), by_key=(("key-1", parse_call("401")),)))
    assert run.next_call(MESSAGES, "test-key-1").options == {"code": 401}
    assert run.next_call(MESSAGES, "test-key-2").options == {"code": 500}
    assert run.next_call("/v1/models", "test-key-1").name == "ok"


def test_faults_may_be_changed_while_the_script_runs():
    run = ScriptRun(Script(calls=parse_calls("500"), rate=0.0, times=0))
    run.use(parse_call("529"))
    assert [run.next_call(MESSAGES).name for _ in range(3)] == ["status"] * 3
    run.use(parse_call("ok"))
    run.use(parse_call("402"), key="-2")
    assert run.next_call(MESSAGES, "key-1").name == "ok"
    assert run.next_call(MESSAGES, "key-2").options == {"code": 402}
    run.use(parse_call("ok"), key="-2")
    assert run.next_call(MESSAGES, "key-2").name == "ok"
