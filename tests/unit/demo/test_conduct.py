import urllib.parse

import pytest

from ccrelay.demo.conduct import Conducted
from ccrelay.demo.limits import Limiter, Quotas, fingerprint
from ccrelay.demo.plan import ReadBody
from ccrelay.demo.script import Script, ScriptRun

KEY = {"x-api-key": "test-key-1"}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def limiter(text="", **options):
    return Limiter(Quotas.parse(text, **options), Clock())


def conduct(perform, made, body, script=None, limits=None):
    conducted = Conducted(made, ScriptRun(script or Script()), limits or limiter())
    return perform(conducted.steps(), made, body), conducted


def headers(shown):
    return {name.decode(): value.decode() for name, value in shown.response()[0].headers}


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


# ---- limits


def test_one_request_over_the_limit_is_refused_and_told_when_to_come_back(ask, scene, perform):
    limits, body = limiter("rpm=2"), scene(ask()).body
    for left in ("1", "0"):
        shown, _ = conduct(perform, scene(headers=KEY), body, limits=limits)
        assert shown.response()[0].status_code == 200
        assert headers(shown)["anthropic-ratelimit-requests-remaining"] == left
    shown, conducted = conduct(perform, scene(headers=KEY), body, limits=limits)
    assert shown.response()[0].status_code == 429
    assert shown.document()["error"]["type"] == "rate_limit_error"
    assert "2 requests per minute" in shown.document()["error"]["message"]
    assert headers(shown)["retry-after"] == "60"
    assert headers(shown)["anthropic-ratelimit-requests-reset"] == "1970-01-01T00:17:40Z"
    assert conducted.fault == "limit"


def test_without_headers_a_429_tells_nothing(ask, scene, perform):
    limits, body = limiter("rpm=1", are_told=False), scene(ask()).body
    conduct(perform, scene(headers=KEY), body, limits=limits)
    shown, _ = conduct(perform, scene(headers=KEY), body, limits=limits)
    assert shown.response()[0].status_code == 429
    assert not {name for name in headers(shown) if "ratelimit" in name or name == "retry-after"}


def test_each_key_has_limits_of_its_own(ask, scene, perform):
    limits, body = limiter("rpm=1"), scene(ask()).body
    for key in ({"x-api-key": "a"}, {"authorization": "Bearer b"}, {}):
        shown, _ = conduct(perform, scene(headers=key), body, limits=limits)
        assert shown.response()[0].status_code == 200
    assert set(limits.ledger()) == {fingerprint("a"), fingerprint("b"), "none"}


@pytest.mark.parametrize("stream", [True, False])
def test_the_ledger_has_the_tokens_that_the_answer_reports(ask, scene, perform, stream):
    limits = limiter()
    body = scene(ask("demo:input=700 demo:cache_read=90 demo:deltas=5", stream=stream)).body
    shown, _ = conduct(perform, scene(headers=KEY), body, limits=limits)
    final = shown.events()[-2] if stream else shown.document()
    usage = final["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (700, 90)
    assert usage["output_tokens"] == 5
    [line] = limits.ledger().values()
    assert (line["input_tokens"], line["output_tokens"], line["in_flight"]) == (700, 5, 0)
    assert line["window_max"] == {"requests": 1, "tokens": 705, "input": 700, "output": 5}


def test_an_answer_that_broke_off_counts_what_it_had_produced(ask, scene, perform):
    limits = limiter()
    body = scene(ask("demo:deltas=50 demo:fault=cut_mid_event,after=10")).body
    conduct(perform, scene(headers=KEY), body, limits=limits)
    [line] = limits.ledger().values()
    assert 7 <= line["output_tokens"] <= 9
    assert line["in_flight"] == 0


def test_a_client_that_leaves_settles_too(ask, scene):
    limits, made = limiter(), scene(headers=KEY)
    steps = Conducted(made, ScriptRun(Script()), limits).steps()
    assert next(steps) == ReadBody()
    made.body = scene(ask("demo:deltas=50")).body
    for _ in range(6):
        next(steps)
    [line] = limits.ledger().values()
    assert (line["in_flight"], line["output_tokens"]) == (1, 0)
    steps.close()
    [line] = limits.ledger().values()
    assert (line["in_flight"], line["in_flight_max"]) == (0, 1)
    assert 1 <= line["output_tokens"] <= 5


def test_an_overload_counts_the_request_and_its_input(ask, scene, perform):
    limits = limiter()
    body = scene(ask("demo:input=40")).body
    conduct(perform, scene(headers=KEY), body, Script.parse("529"), limits)
    [line] = limits.ledger().values()
    assert (line["requests"], line["input_tokens"], line["output_tokens"]) == (1, 40, 0)


def test_counting_tokens_and_listing_models_count_for_nothing(scene, perform):
    limits = limiter("rpm=1")
    for _ in range(3):
        made = scene(method="GET", target="/v1/models", headers=KEY)
        assert conduct(perform, made, b"", limits=limits)[0].response()[0].status_code == 200
    assert [line["requests"] for line in limits.ledger().values()] in ([], [0])


# ---- steering


def steer(perform, scene, method, target, **parts):
    run, limits = parts.get("run") or ScriptRun(Script()), parts.get("limits") or limiter()
    made = scene(method=method, target=target)
    return perform(Conducted(made, run, limits).steps(), made, b"")


def test_the_ledger_can_be_read_and_begun_anew(ask, scene, perform):
    limits = limiter("rpm=1")
    conduct(perform, scene(headers=KEY), scene(ask()).body, limits=limits)
    shown = steer(perform, scene, "GET", "/demo/limits", limits=limits).document()
    assert shown[fingerprint("test-key-1")]["requests"] == 1
    assert steer(perform, scene, "POST", "/demo/limits/reset", limits=limits).document() == {}
    assert limits.ledger()[fingerprint("test-key-1")]["requests"] == 0
    again, _ = conduct(perform, scene(headers=KEY), scene(ask()).body, limits=limits)
    assert again.response()[0].status_code == 200


def test_a_fault_can_be_set_and_ended_from_outside(scene, perform):
    run = ScriptRun(Script())
    wanted = urllib.parse.quote("status=429,retry_after=1")
    steer(perform, scene, "POST", f"/demo/fault?name={wanted}", run=run)
    assert run.next_call("/v1/messages").options == {"code": 429, "retry_after": "1"}
    steer(perform, scene, "POST", "/demo/fault?name=none", run=run)
    assert run.next_call("/v1/messages").name == "ok"
    steer(perform, scene, "POST", "/demo/fault?name=401&key=-2", run=run)
    assert run.next_call("/v1/messages", "key-2").options == {"code": 401}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/demo/fault", 400),
        ("POST", "/demo/fault?name=nonsense", 400),
        ("GET", "/demo/fault?name=529", 404),
        ("GET", "/demo/redirected", 404),
    ],
)
def test_steering_without_meaning_is_refused(scene, perform, method, target, status):
    shown = steer(perform, scene, method, target)
    assert shown.response()[0].status_code == status
    assert shown.document()["type"] == "error"
