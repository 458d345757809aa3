"""Checks that ask the running relay, which is a fake that answers with the real messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccrelay import __version__
from ccrelay.cli import doctor_relay as doctor
from ccrelay.cli.doctor_relay import RelayFound
from ccrelay.control import client as control
from ccrelay.control.client import CallFailed, NoRelay, SeveralRelays
from ccrelay.probing.asker import MESSAGE_LIMIT_S
from ccrelay.v1 import providers_pb2, relay_pb2

NOW_MS = 1_800_000_000_000
Key, Provider = providers_pb2.Key, providers_pb2.Provider
PROBE = {
    "connect": providers_pb2.PROBE_KIND_CONNECT,
    "count": providers_pb2.PROBE_KIND_COUNT_TOKENS,
    "message": providers_pb2.PROBE_KIND_MESSAGE,
}


class FakeClient:
    """Answers probes; notes their kinds."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.answer = answer
        self.kinds: list[int] = []
        self.limits_s: list[float] = []

    def call(self, method: str, request: Any, response_type: Any, timeout_s: float) -> Any:
        assert method == "Providers/Probe"
        self.kinds.append(request.kind)
        self.limits_s.append(timeout_s)
        return self.answer(request)


def probed(**members: Any) -> Any:
    return providers_pb2.ProbeResponse(**members)


def status(**key: Any) -> Any:
    members = {
        "name": "team-a",
        "fingerprint": "hmac:1",
        "enabled": True,
        "state": Key.STATE_IDLE,
        **key,
    }
    provider = Provider(
        name="anthropic",
        enabled=True,
        base_url="https://api.anthropic.com",
        keys=[Key(**members)],
    )
    return relay_pb2.Status(
        version=__version__,
        pid=4711,
        listen=["127.0.0.1:8787"],
        workers=[relay_pb2.Worker(state="serving")],
        providers=[provider],
        at_ms=NOW_MS,
    )


def check(answer: Any, made: Any = None, *, is_paid: bool = False) -> tuple[Any, list[int]]:
    client = FakeClient(answer if callable(answer) else lambda request: answer)
    found = RelayFound(client, made or status(), [])
    [finding] = doctor.check_providers(found, is_paid=is_paid)
    return finding, client.kinds


def test_a_key_that_is_accepted_is_fine() -> None:
    finding, kinds = check(probed(ok=True, status=200, latency_ms=912, model="claude-x"))
    assert finding.verdict == "ok"
    assert finding.subject == "anthropic/team-a"
    assert finding.text == "accepted, answered in 912 ms for claude-x"
    assert kinds == [PROBE["count"]]


def test_a_short_time_is_not_none() -> None:
    assert [doctor.duration(ms) for ms in (0.2, 1.4, 1400)] == ["<1 ms", "1 ms", "1.4 s"]


def test_messages_are_sent_only_when_they_may_cost() -> None:
    answer = probed(ok=True, status=200, latency_ms=1100, model="m", cost_micros=40)
    finding, kinds = check(answer, is_paid=True)
    assert kinds == [PROBE["message"]]
    assert finding.cost_micros == 40
    assert "1.1 s" in finding.text


def test_a_message_may_take_the_time_of_a_model() -> None:
    client = FakeClient(lambda request: probed(ok=True, status=200))
    for is_paid in (False, True):
        doctor.check_providers(RelayFound(client, status(), []), is_paid=is_paid)
    assert client.limits_s == [doctor.PROBE_TIMEOUT_S, doctor.MESSAGE_TIMEOUT_S]
    assert doctor.MESSAGE_TIMEOUT_S > MESSAGE_LIMIT_S


def test_the_login_of_the_client_is_not_sent() -> None:
    made = status(name="login", fingerprint="client")
    finding, kinds = check(probed(ok=True, latency_ms=20), made, is_paid=True)
    assert kinds == [PROBE["connect"]]
    assert "passes the client's own login through" in finding.text


def test_a_provider_that_does_not_count_is_connected_to() -> None:
    def answer(request: Any) -> Any:
        is_count = request.kind == PROBE["count"]
        return probed(ok=False, status=404) if is_count else probed(ok=True, latency_ms=5)

    finding, kinds = check(answer)
    assert kinds == [PROBE["count"], PROBE["connect"]]
    assert finding.verdict == "ok"
    assert "--paid asks" in finding.text


@pytest.mark.parametrize(
    ("code", "verdict", "do"),
    [
        (401, "FAIL", "reload"),
        (402, "FAIL", ""),
        (200, "FAIL", "config show"),
        (302, "FAIL", "show"),
        (429, "warn", ""),
        (529, "FAIL", ""),
    ],
)
def test_the_relays_own_sentence_is_told(code: int, verdict: str, do: str) -> None:
    finding, _ = check(probed(ok=False, status=code, message="It says what is wrong."))
    assert finding.verdict == verdict
    assert finding.text == "It says what is wrong"
    assert do in finding.do


def test_an_address_where_nothing_is_is_told() -> None:
    finding, kinds = check(lambda request: probed(ok=False, message="No route."))
    assert finding.verdict == "FAIL"
    assert kinds == [PROBE["count"]]  # it was not reached: a second try would say the same


@pytest.mark.parametrize(
    ("code", "verdict"),
    [("FAILED_PRECONDITION", "ok"), ("RESOURCE_EXHAUSTED", "warn"), ("NOT_FOUND", "FAIL")],
)
def test_what_the_relay_does_not_do(code: str, verdict: str) -> None:
    def answer(request: Any) -> Any:
        if request.kind == PROBE["connect"]:
            return probed(ok=True, latency_ms=1)
        raise CallFailed(code, "It is not to be.")

    assert check(answer)[0].verdict == verdict


@pytest.mark.parametrize("is_paid", [True, False])
def test_with_a_credential_of_a_cloud_nothing_is_promised_that_paid_would_ask(
    is_paid: bool,
) -> None:
    def answer(request: Any) -> Any:
        if request.kind == PROBE["connect"]:
            return probed(ok=True, latency_ms=1)
        raise CallFailed("FAILED_PRECONDITION", "Only workers know the credential of one/work.")

    finding, kinds = check(answer, is_paid=is_paid)
    assert finding.verdict == "ok"
    assert kinds[-1] == PROBE["connect"]
    assert "--paid" not in finding.text
    assert "only requests show whether its credential works" in finding.text


def test_where_no_message_can_be_asked_for_tokens_are_counted() -> None:
    def answer(request: Any) -> Any:
        if request.kind == PROBE["message"]:
            raise CallFailed("FAILED_PRECONDITION", "No model is known by name.")
        return probed(ok=False, status=401, message="It refuses the key.")

    finding, kinds = check(answer, is_paid=True)
    assert kinds == [PROBE["message"], PROBE["count"]]
    assert finding.verdict == "FAIL"


@pytest.mark.parametrize(
    ("status", "verdict", "text"),
    [
        (401, "FAIL", "the key was refused: so"),
        (403, "FAIL", "the key was refused: so"),
        (402, "FAIL", "no balance: so"),
        (404, "FAIL", "no such API at this address: so"),
        (200, "FAIL", "no such API at this address: so"),
        (429, "warn", "at its limit now: so"),
        (529, "FAIL", "answers with an error: so"),
        (0, "FAIL", "so"),
    ],
)
def test_without_a_relay_a_status_is_told_with_its_meaning(
    status: int, verdict: str, text: str
) -> None:
    finding = doctor.failure("p/k", status, "so", "https://p.example")
    assert finding.verdict == verdict
    assert text in finding.text


def test_what_cannot_be_reached_is_told_with_a_command() -> None:
    finding, _ = check(probed(ok=False, message="Cannot resolve api.anthropic.com."))
    assert finding.verdict == "FAIL"
    assert finding.do == "curl -sv -o /dev/null https://api.anthropic.com"


def test_a_call_that_fails_is_a_failure_of_its_key_only() -> None:
    def fail(request: Any) -> Any:
        raise CallFailed("DEADLINE_EXCEEDED", "The relay did not answer within 10 s.")

    finding, _ = check(fail)
    assert finding.verdict == "FAIL"
    assert "did not answer within 10 s" in finding.text


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (
            {
                "state": Key.STATE_COOLDOWN,
                "cooldown_until_ms": NOW_MS + 47_000,
                "cooldown_reason": "429",
            },
            "cooldown for another 0:47 (429)",
        ),
        ({"state": Key.STATE_COOLDOWN, "cooldown_until_ms": NOW_MS + 7_500_000}, "2:05:00"),
        ({"state": Key.STATE_FULL}, "leaves no room"),
        ({"state": Key.STATE_REFUSED}, "refused by the provider before"),
    ],
)
def test_a_key_that_rests_is_a_warning_though_it_answers(key: dict[str, Any], text: str) -> None:
    finding, _ = check(probed(ok=True, status=200), status(**key))
    assert finding.verdict == "warn"
    assert text in finding.text


def test_the_command_for_a_refused_key_is_one_that_there_is() -> None:
    from ccrelay.cli.keys import keys

    finding, _ = check(probed(ok=True, status=200), status(state=Key.STATE_REFUSED))
    words = finding.do.split()
    assert words[:2] == ["ccrelay", "keys"]
    assert words[2] in keys.commands


def test_an_open_breaker_is_told() -> None:
    made = status()
    made.providers[0].breaker.state = providers_pb2.Breaker.STATE_OPEN
    made.providers[0].breaker.failures = 3
    made.providers[0].breaker.resumes_at_ms = NOW_MS + 22_000
    finding, _ = check(probed(ok=True, status=200), made)
    assert finding.text == "breaker open, next try in 0:22"


def test_disabled_providers_and_keys_are_left_alone() -> None:
    made = status(enabled=False)
    found = doctor.check_providers(RelayFound(FakeClient(lambda r: None), made, []), is_paid=False)
    assert [(f.verdict, f.text) for f in found] == [("FAIL", "none is enabled")]


@pytest.mark.parametrize(
    ("ledger", "verdict", "text"),
    [
        ({"state": 1, "written": 418, "bytes": 12_000_000}, "ok", "418 exchanges written"),
        ({"state": 1, "written": 1, "bytes": 12_000_000}, "ok", "1 exchange written"),
        ({"state": 1, "written": 1, "dropped": 7}, "warn", "7 exchanges were lost"),
        ({"state": 2, "problem": "disk full"}, "FAIL", "disk full"),
        ({"state": 2}, "FAIL", "cannot be written"),
        ({"state": 3}, "ok", "off"),
    ],
)
def test_the_ledger(ledger: dict[str, Any], verdict: str, text: str) -> None:
    made = status()
    made.management.ledger.MergeFrom(relay_pb2.Ledger(**ledger))
    [finding] = doctor.check_ledger(made)
    assert finding.verdict == verdict
    assert text in finding.text


def test_a_reload_that_failed_is_told() -> None:
    made = status()
    assert doctor.check_revision(made) == []
    made.reload_problem = "c.yaml:3:1: unknown key"
    [finding] = doctor.check_revision(made)
    assert finding.verdict == "FAIL"
    assert "c.yaml:3:1" in finding.text


def test_notices_are_told_once() -> None:
    made = status()
    made.notices.add(severity=2, subject="ledger", message="It fails.", command="df -h")
    made.notices.add(severity=1, subject="anthropic/team-a", message="It is full.")
    [finding] = doctor.check_notices(made, ["ledger"])
    assert (finding.verdict, finding.subject) == ("warn", "anthropic/team-a")
    assert doctor.check_notices(made, [])[0].verdict == "FAIL"


def found_with(monkeypatch: pytest.MonkeyPatch, answer: Any) -> RelayFound:
    class Fake:
        def __init__(self, path: Path) -> None:
            pass

        def call(self, *args: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return relay_pb2.GetStatusResponse(status=answer)

    monkeypatch.setattr(control, "Client", Fake)
    return doctor.find_relay({"CCRELAY_SOCKET": "/x"})


def test_a_relay_of_this_version_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_with(monkeypatch, status())
    assert found.status is not None
    assert [f.verdict for f in found.findings] == ["ok"]
    assert "127.0.0.1:8787" in found.findings[0].text


def test_another_version_is_told_with_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    made = status()
    made.version = "0.0.1"
    [finding] = found_with(monkeypatch, made).findings
    assert finding.verdict == "warn"
    assert finding.do.startswith("kill -USR2 4711")


def test_a_relay_without_workers_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    made = status()
    made.workers[0].state = "starting"
    assert found_with(monkeypatch, made).findings[0].verdict == "FAIL"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (NoRelay("none"), "warn"),
        (CallFailed("UNAVAILABLE", "It broke."), "FAIL"),
        (SeveralRelays([Path("/a"), Path("/b")]), "FAIL"),
    ],
)
def test_a_relay_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, error: Exception, verdict: str
) -> None:
    found = found_with(monkeypatch, error)
    assert found.status is None
    assert [f.verdict for f in found.findings] == [verdict]
