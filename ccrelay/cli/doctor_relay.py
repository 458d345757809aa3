"""Checks of `ccrelay doctor` that ask the running relay: version, ledger, providers and keys."""

import datetime
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ccrelay import __version__
from ccrelay.cli.doctor_ledger import mend_of, moved_aside
from ccrelay.cli.doctor_report import Finding, Verdict

STATUS_TIMEOUT_S = 4.0
PROBE_TIMEOUT_S = 10.0
MESSAGE_TIMEOUT_S = 60.0  # a model takes its time for the first token
PROBES_AT_ONCE = 16

# Numbers of ccrelay.v1, written out: the schema is imported only once a relay answers.
LEDGER_OK, LEDGER_FAILING, LEDGER_OFF = 1, 2, 3
KEY_COOLDOWN, KEY_FULL, KEY_REFUSED, KEY_DISABLED = 3, 4, 5, 6
BREAKER_OPEN = 2
CONNECT, COUNT_TOKENS = 1, 2
SEVERITY_ERROR = 2


class RelayFound(NamedTuple):
    """The relay that runs, as far as it answers.

    Args:
        client: makes calls; None: no relay runs.
        status: a `ccrelay.v1.Status`; None: it does not answer.
        findings: what there is to say of it.
    """

    client: Any | None
    status: Any | None
    findings: list[Finding]


def find_relay(env: Mapping[str, str]) -> RelayFound:
    """Look for the relay that runs and ask for its state."""
    from ccrelay.control.client import CallFailed, Client, ControlError, NoRelay, find_socket

    try:
        client = Client(find_socket(env))
        status = _status(client)
    except NoRelay:
        finding = Finding(
            "warn",
            "relay",
            "none runs, or its management is off",
            "What needs a running relay is checked without it, as far as that goes.",
            "ccrelay serve",
        )
        return RelayFound(None, None, [finding])
    except CallFailed as error:
        finding = Finding(
            "FAIL",
            "relay",
            f"it runs and does not answer: {error.message}",
            "Its manager hangs or is being restarted. Requests are served all the same.",
            "wait a few seconds and ask again; else look into the log of `ccrelay serve`",
        )
        return RelayFound(None, None, [finding])
    except ControlError as error:  # several relays
        return RelayFound(None, None, [Finding("FAIL", "relay", str(error))])
    return RelayFound(client, status, _relay(status))


def _status(client: Any) -> Any:
    from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse

    answer = client.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse, STATUS_TIMEOUT_S)
    return answer.status


def _relay(status: Any) -> list[Finding]:
    where = ", ".join(status.listen)
    if status.version != __version__:
        return [
            Finding(
                "warn",
                "relay",
                f"{where} runs version {status.version}, this command is {__version__}",
                "It was not restarted after the last upgrade of the package.",
                f"kill -USR2 {status.pid}        (upgrades without downtime)",
            )
        ]
    serving = sum(worker.state == "serving" for worker in status.workers)
    if not serving:
        finding = Finding(
            "FAIL",
            "relay",
            f"{where}: no worker serves",
            do="look into the log of `ccrelay serve` for why workers end",
        )
        return [finding]
    workers = "1 worker" if serving == 1 else f"{serving} workers"
    return [
        Finding("ok", "relay", f"{where} answers, {workers}, version {__version__} as this command")
    ]


def check_revision(status: Any) -> list[Finding]:
    """Tell which configuration is in force, and whether a reload failed."""
    if not status.reload_problem:
        return []
    file = status.config_file or "the configuration"
    return [
        Finding(
            "FAIL",
            "reload",
            f"the last one changed nothing: {status.reload_problem}",
            f"What was in force before stays in force, whatever {file} says.",
            "mend the file; it is loaded again by itself, or by: ccrelay reload",
        )
    ]


def check_ledger(status: Any) -> list[Finding]:
    """Tell whether exchanges are written."""
    ledger = status.management.ledger
    if ledger.state == LEDGER_OFF:
        return [Finding("ok", "ledger", "off, by `ledger.enabled: false`")]
    if ledger.state == LEDGER_FAILING:
        return [
            Finding(
                "FAIL",
                "ledger",
                ledger.problem or "exchanges cannot be written",
                "Requests are served; what they cost is not recorded.",
                mend_of(ledger.problem, ledger.path),
            )
        ]
    size = f"{ledger.bytes / 1e6:.1f} MB"
    noun = "exchange" if ledger.written == 1 else "exchanges"
    text = f"{ledger.written:,} {noun} written since the manager's start, {size}"
    if ledger.prices_version:
        text += f", prices of {ledger.prices_version}"
    if ledger.dropped:
        return [
            Finding(
                "warn",
                "ledger",
                f"{ledger.dropped:,} exchanges were lost since the start; {text}",
                "More came at once than the manager could take, or it was restarted for long.",
            )
        ]
    return [Finding("ok", "ledger", text), *moved_aside(ledger)]


def check_providers(found: RelayFound, *, is_paid: bool) -> list[Finding]:
    """Let the running relay ask every key of every enabled provider."""
    status, client = found.status, found.client
    assert status is not None
    targets = [
        (provider, key)
        for provider in status.providers
        if provider.enabled
        for key in provider.keys
        if key.enabled
    ]
    if not targets:
        return [Finding("FAIL", "providers", "none is enabled", do="ccrelay providers")]
    with ThreadPoolExecutor(PROBES_AT_ONCE) as pool:
        groups = pool.map(lambda t: _target(client, status, *t, is_paid=is_paid), targets)
        return [finding for group in groups for finding in group]


def _target(client: Any, status: Any, provider: Any, key: Any, *, is_paid: bool) -> list[Finding]:
    findings = [_probed(client, provider, key, is_paid=is_paid)]
    state = _state(provider, key, status.at_ms)
    if state is not None and findings[0].verdict == "ok":
        # One line each: the state says more than that it can be reached.
        return [state._replace(cost_micros=findings[0].cost_micros)]
    return findings


def _probed(client: Any, provider: Any, key: Any, *, is_paid: bool) -> Finding:
    from ccrelay.control.client import CallFailed, ControlError
    from ccrelay.v1 import providers_pb2 as v1

    subject = f"{provider.name}/{key.name or key.fingerprint}"
    has_key = key.fingerprint not in ("client", "none", "")
    kind = v1.PROBE_KIND_COUNT_TOKENS
    if is_paid and key.fingerprint != "client":
        kind = v1.PROBE_KIND_MESSAGE
    elif key.fingerprint == "client":
        kind = v1.PROBE_KIND_CONNECT
    try:
        answer, refusal = _unless_refused(client, provider, key, kind)
        if answer is None and kind == v1.PROBE_KIND_MESSAGE:
            kind = v1.PROBE_KIND_COUNT_TOKENS
            answer, refusal = _unless_refused(client, provider, key, kind)
        if answer is None or _does_not_count(kind, answer):
            # Then a connection says what is known for free.
            kind = v1.PROBE_KIND_CONNECT
            answer = _call(client, provider, key, kind)
    except CallFailed as error:
        verdict: Verdict = "warn" if error.code == "RESOURCE_EXHAUSTED" else "FAIL"
        return Finding(verdict, subject, error.message.rstrip("."))
    except ControlError as error:
        return Finding("FAIL", subject, f"the relay could not ask: {error}")
    if answer.ok:
        if kind == v1.PROBE_KIND_CONNECT and "credential" in refusal:
            text = _obtained(answer)
        else:
            text = _good(answer, kind == v1.PROBE_KIND_CONNECT, has_key=has_key, key=key)
        return Finding("ok", subject, text, cost_micros=answer.cost_micros)
    return _bad(subject, answer, provider.base_url)


def _unless_refused(client: Any, provider: Any, key: Any, kind: int) -> tuple[Any | None, str]:
    """The answer; else why not: no count, no model by name, or a credential of a cloud."""
    from ccrelay.control.client import CallFailed

    try:
        return _call(client, provider, key, kind), ""
    except CallFailed as error:
        if error.code != "FAILED_PRECONDITION":
            raise
        return None, error.message


def _does_not_count(kind: int, answer: Any) -> bool:
    return kind == COUNT_TOKENS and not answer.ok and answer.status in (404, 405, 501)


def _bad(subject: str, answer: Any, base_url: str) -> Finding:
    """The relay's own sentence says what is wrong and what that means."""
    verdict: Verdict = "warn" if answer.status == 429 else "FAIL"
    do = {
        0: f"curl -sv -o /dev/null {base_url}",
        401: "correct the key in the configuration; then: ccrelay reload",
        403: "correct the key in the configuration; then: ccrelay reload",
        404: "ccrelay config show        (what base_url is)",
    }
    status = 404 if 200 <= answer.status < 400 else answer.status  # all the same: not this API
    text = answer.message.rstrip(".") or "it could not be reached"
    return Finding(verdict, subject, text, do=do.get(status, ""))


def _call(client: Any, provider: Any, key: Any, kind: int) -> Any:
    from ccrelay.v1.providers_pb2 import PROBE_KIND_MESSAGE, ProbeRequest, ProbeResponse

    request = ProbeRequest(provider=provider.name, key=key.fingerprint, kind=kind)  # type: ignore[arg-type]
    limit_s = MESSAGE_TIMEOUT_S if kind == PROBE_KIND_MESSAGE else PROBE_TIMEOUT_S
    return client.call("Providers/Probe", request, ProbeResponse, limit_s)


def _obtained(answer: Any) -> str:
    """Of a key that only workers can use: `--paid` asks with it no more than the free probe."""
    took = duration(answer.latency_ms)
    return f"reached in {took}; only requests show whether its credential works"


def _good(answer: Any, is_connect: bool, *, has_key: bool, key: Any) -> str:
    took = duration(answer.latency_ms)
    if is_connect:
        if key.fingerprint == "client":
            return f"reached in {took}; passes the client's own login through"
        rest = "; whether the key is accepted was not asked (--paid asks)" if has_key else ""
        return f"reached in {took}{rest}"
    accepted = "accepted, " if has_key else ""
    return f"{accepted}answered in {took} for {answer.model}"


def failure(subject: str, status: int, message: str, base_url: str) -> Finding:
    """Return a target that did not work, with what that means and what to do."""
    if status in (401, 403):
        return Finding(
            "FAIL",
            subject,
            f"the key was refused: {message}",
            "It is wrong, revoked, or not meant for this service.",
            "correct the key in the configuration; then `ccrelay reload`",
        )
    if status == 402:
        return Finding(
            "FAIL", subject, f"no balance: {message}", "The account has to be topped up."
        )
    if status in (404, 405) or 200 <= status < 400:
        return Finding(
            "FAIL",
            subject,
            f"no such API at this address: {message}",
            f"`base_url` is {base_url}: it must be what stands before /v1/messages, and the model "
            "must exist there.",
            "ccrelay config show",
        )
    if status == 429:
        return Finding("warn", subject, f"accepted, and at its limit now: {message}")
    if status:
        return Finding(
            "FAIL", subject, f"it answers with an error: {message}", "Ask again in a minute."
        )
    return Finding(
        "FAIL",
        subject,
        message or "it could not be reached",
        "Nothing answers there, or something in between does not let it through.",
        f"curl -sv -o /dev/null {base_url}",
    )


def _state(provider: Any, key: Any, at_ms: int) -> Finding | None:
    subject = f"{provider.name}/{key.name or key.fingerprint}"
    if provider.breaker.state == BREAKER_OPEN:
        left = _left(provider.breaker.resumes_at_ms, at_ms)
        text = f"breaker open, next try in {left}"
        return Finding("warn", subject, text, "It answers this check: it closes by itself.")
    if key.state == KEY_REFUSED:
        text = "refused by the provider before; accepted now"
        return Finding(
            "warn", subject, text, do=f"ccrelay keys clear-cooldown {shlex.quote(subject)}"
        )
    if key.state == KEY_COOLDOWN:
        why = f" ({key.cooldown_reason})" if key.cooldown_reason else ""
        return Finding(
            "warn", subject, f"cooldown for another {_left(key.cooldown_until_ms, at_ms)}{why}"
        )
    if key.state == KEY_FULL:
        return Finding("warn", subject, "a limit of it leaves no room now")
    return None


def _left(until_ms: int, now_ms: int) -> str:
    seconds = max(until_ms - now_ms, 0) // 1000
    if seconds >= 3600:
        return f"{datetime.timedelta(seconds=seconds)}"
    return f"{seconds // 60}:{seconds % 60:02}"


def duration(ms: float) -> str:
    """Return a duration as people read it."""
    if ms < 1:
        return "<1 ms"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def check_notices(status: Any, told: Sequence[str]) -> list[Finding]:
    """Return what the relay itself says needs a look, but for the subjects that were told."""
    return [
        Finding(
            "FAIL" if notice.severity == SEVERITY_ERROR else "warn",
            notice.subject,
            notice.message.rstrip("."),
            do=notice.command,
        )
        for notice in status.notices
        if notice.subject not in told
    ]
