import pytest

from ccrelay.demo.plan import ReadBody
from ccrelay.demo.script import Call, Conducted, Script, ScriptRun, parse_call, parse_calls
from ccrelay.errors import BadRequest

MESSAGES = "/v1/messages"


def names(script, count, path=MESSAGES):
    run = ScriptRun(script)
    return [run.next_call(path).name for _ in range(count)]


def conduct(perform, made, body, script=None):
    conducted = Conducted(made, ScriptRun(script or Script()))
    return perform(conducted.steps(), made, body), conducted


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


def test_the_header_wins_over_the_script_and_the_script_over_the_prompt(ask, scene, perform):
    body = scene(ask("demo:fault=html_200")).body
    script = Script.parse("status=503")
    header = scene(headers={"X-Demo-Fault": "429,retry_after=2"})
    assert conduct(perform, header, body, script)[0].response()[0].status_code == 429
    assert conduct(perform, scene(), body, script)[0].response()[0].status_code == 503
    shown, conducted = conduct(perform, scene(), body)
    assert shown.response()[1].startswith(b"<html>")
    assert conducted.fault == "html_200"


def test_the_header_works_on_every_path(scene, perform):
    made = scene(method="GET", target="/v1/models", headers={"x-demo-fault": "503"})
    assert conduct(perform, made, b"")[0].response()[0].status_code == 503


def test_the_body_is_read_once_and_before_the_answer(ask, scene, perform):
    for fault in ("ok", "gzip", "slow_reader"):
        made = scene(headers={"x-demo-fault": fault})
        shown, _ = conduct(perform, made, scene(ask()).body)
        assert len(shown.reads) == 1
        assert shown.sent_before_reading == b""


def test_a_fault_in_the_prompt_that_is_about_reading_acts_after_the_body(ask, scene, perform):
    shown, _ = conduct(perform, scene(), scene(ask("demo:fault=early_response")).body)
    assert shown.reads[0] == ReadBody()
    assert shown.response()[0].status_code == 413


@pytest.mark.parametrize("where", ["header", "prompt"])
def test_an_unknown_fault_is_a_400_that_says_so(ask, scene, perform, where):
    made = scene(headers={"x-demo-fault": "nonsense"} if where == "header" else {})
    shown, _ = conduct(perform, made, scene(ask("demo:fault=nonsense")).body)
    assert shown.reads == [ReadBody()]
    assert shown.response()[0].status_code == 400
    assert "nonsense" in shown.document()["error"]["message"]


def test_the_delay_comes_before_the_answer(ask, scene, perform):
    shown, _ = conduct(perform, scene(), scene(ask()).body, Script(delay_s=1.5))
    assert shown.waited_s == 1.5
    assert shown.events()
