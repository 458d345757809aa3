import urllib.parse

import pytest

from ccrelay.demo.handler import RequestHandler
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


def handle(run, made, body, script=None, limits=None):
    handler = RequestHandler(made, ScriptRun(script or Script()), limits or limiter())
    return run(handler.steps(), made, body), handler


def headers(result):
    return {name.decode(): value.decode() for name, value in result.response()[0].headers}


def test_header_overrides_script_and_script_overrides_prompt(payload, context, run):
    body = context(payload("demo:fault=html_200")).body
    script = Script.parse("status=503")
    header = context(headers={"X-Demo-Fault": "429,retry_after=2"})
    assert handle(run, header, body, script)[0].response()[0].status_code == 429
    assert handle(run, context(), body, script)[0].response()[0].status_code == 503
    result, handler = handle(run, context(), body)
    assert result.response()[1].startswith(b"<html>")
    assert handler.fault == "html_200"


def test_the_header_works_on_every_path(context, run):
    made = context(method="GET", target="/v1/models", headers={"x-demo-fault": "503"})
    assert handle(run, made, b"")[0].response()[0].status_code == 503


def test_the_body_is_read_once_before_the_response(payload, context, run):
    for fault in ("ok", "gzip", "slow_reader"):
        made = context(headers={"x-demo-fault": fault})
        result, _ = handle(run, made, context(payload()).body)
        assert len(result.reads) == 1
        assert result.sent_before_reading == b""


def test_a_prompt_fault_starts_after_the_body_was_read(payload, context, run):
    result, _ = handle(run, context(), context(payload("demo:fault=early_response")).body)
    assert result.reads[0] == ReadBody()
    assert result.response()[0].status_code == 413


@pytest.mark.parametrize("where", ["header", "prompt"])
def test_an_unknown_fault_gets_400(payload, context, run, where):
    made = context(headers={"x-demo-fault": "nonsense"} if where == "header" else {})
    result, _ = handle(run, made, context(payload("demo:fault=nonsense")).body)
    assert result.reads == [ReadBody()]
    assert result.response()[0].status_code == 400
    assert "nonsense" in result.document()["error"]["message"]


def test_the_delay_is_before_the_response(payload, context, run):
    result, _ = handle(run, context(), context(payload()).body, Script(delay_s=1.5))
    assert result.waited_s == 1.5
    assert result.events()


# ---- limits


def test_a_request_over_the_limit_gets_429_with_retry_after(payload, context, run):
    limits, body = limiter("rpm=2"), context(payload()).body
    for left in ("1", "0"):
        result, _ = handle(run, context(headers=KEY), body, limits=limits)
        assert result.response()[0].status_code == 200
        assert headers(result)["anthropic-ratelimit-requests-remaining"] == left
    result, handler = handle(run, context(headers=KEY), body, limits=limits)
    assert result.response()[0].status_code == 429
    assert result.document()["error"]["type"] == "rate_limit_error"
    assert "2 requests per minute" in result.document()["error"]["message"]
    assert headers(result)["retry-after"] == "60"
    assert headers(result)["anthropic-ratelimit-requests-reset"] == "1970-01-01T00:17:40Z"
    assert handler.fault == "limit"


def test_without_limit_headers_a_429_has_no_retry_after(payload, context, run):
    limits, body = limiter("rpm=1", send_headers=False), context(payload()).body
    handle(run, context(headers=KEY), body, limits=limits)
    result, _ = handle(run, context(headers=KEY), body, limits=limits)
    assert result.response()[0].status_code == 429
    assert not {name for name in headers(result) if "ratelimit" in name or name == "retry-after"}


def test_each_key_has_its_own_limits(payload, context, run):
    limits, body = limiter("rpm=1"), context(payload()).body
    for key in ({"x-api-key": "a"}, {"authorization": "Bearer b"}, {}):
        result, _ = handle(run, context(headers=key), body, limits=limits)
        assert result.response()[0].status_code == 200
    assert set(limits.ledger()) == {fingerprint("a"), fingerprint("b"), "none"}


@pytest.mark.parametrize("stream", [True, False])
def test_the_ledger_counts_the_reported_tokens(payload, context, run, stream):
    limits = limiter()
    body = context(payload("demo:input=700 demo:cache_read=90 demo:deltas=5", stream=stream)).body
    result, _ = handle(run, context(headers=KEY), body, limits=limits)
    final = result.events()[-2] if stream else result.document()
    usage = final["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (700, 90)
    assert usage["output_tokens"] == 5
    [line] = limits.ledger().values()
    assert (line["input_tokens"], line["output_tokens"], line["in_flight"]) == (700, 5, 0)
    assert line["window_max"] == {"requests": 1, "tokens": 705, "input": 700, "output": 5}


def test_an_aborted_response_counts_the_tokens_sent(payload, context, run):
    limits = limiter()
    body = context(payload("demo:deltas=50 demo:fault=cut_mid_event,after=10")).body
    handle(run, context(headers=KEY), body, limits=limits)
    [line] = limits.ledger().values()
    assert 7 <= line["output_tokens"] <= 9
    assert line["in_flight"] == 0


def test_a_request_aborted_by_the_client_is_finished(payload, context):
    limits, made = limiter(), context(headers=KEY)
    steps = RequestHandler(made, ScriptRun(Script()), limits).steps()
    assert next(steps) == ReadBody()
    made.body = context(payload("demo:deltas=50")).body
    for _ in range(6):
        next(steps)
    [line] = limits.ledger().values()
    assert (line["in_flight"], line["output_tokens"]) == (1, 0)
    steps.close()
    [line] = limits.ledger().values()
    assert (line["in_flight"], line["in_flight_max"]) == (0, 1)
    assert 1 <= line["output_tokens"] <= 5


def test_an_error_counts_the_request_and_its_input(payload, context, run):
    limits = limiter()
    body = context(payload("demo:input=40")).body
    handle(run, context(headers=KEY), body, Script.parse("529"), limits)
    [line] = limits.ledger().values()
    assert (line["requests"], line["input_tokens"], line["output_tokens"]) == (1, 40, 0)


def test_only_messages_count_against_limits(context, run):
    limits = limiter("rpm=1")
    for _ in range(3):
        made = context(method="GET", target="/v1/models", headers=KEY)
        assert handle(run, made, b"", limits=limits)[0].response()[0].status_code == 200
    assert [line["requests"] for line in limits.ledger().values()] in ([], [0])


# ---- control API


def control(run, context, method, target, **parts):
    script, limits = parts.get("script") or ScriptRun(Script()), parts.get("limits") or limiter()
    made = context(method=method, target=target)
    return run(RequestHandler(made, script, limits).steps(), made, b"")


def test_control_api_reads_and_resets_the_ledger(payload, context, run):
    limits = limiter("rpm=1")
    handle(run, context(headers=KEY), context(payload()).body, limits=limits)
    result = control(run, context, "GET", "/demo/limits", limits=limits).document()
    assert result[fingerprint("test-key-1")]["requests"] == 1
    assert control(run, context, "POST", "/demo/limits/reset", limits=limits).document() == {}
    assert limits.ledger()[fingerprint("test-key-1")]["requests"] == 0
    again, _ = handle(run, context(headers=KEY), context(payload()).body, limits=limits)
    assert again.response()[0].status_code == 200


def test_control_api_sets_and_clears_faults(context, run):
    script = ScriptRun(Script())
    wanted = urllib.parse.quote("status=429,retry_after=1")
    control(run, context, "POST", f"/demo/fault?name={wanted}", script=script)
    assert script.next_call("/v1/messages").options == {"code": 429, "retry_after": "1"}
    control(run, context, "POST", "/demo/fault?name=none", script=script)
    assert script.next_call("/v1/messages").name == "ok"
    control(run, context, "POST", "/demo/fault?name=401&key=-2", script=script)
    assert script.next_call("/v1/messages", "key-2").options == {"code": 401}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/demo/fault", 400),
        ("POST", "/demo/fault?name=nonsense", 400),
        ("GET", "/demo/fault?name=529", 404),
        ("GET", "/demo/redirected", 404),
    ],
)
def test_invalid_control_requests_get_an_error(context, run, method, target, status):
    result = control(run, context, method, target)
    assert result.response()[0].status_code == status
    assert result.document()["type"] == "error"
