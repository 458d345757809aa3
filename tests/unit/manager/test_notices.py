"""What needs a look: one sentence each, the worst first, with the command that mends it."""

import shlex

from ccrelay.manager.notices import notices
from ccrelay.v1 import providers_pb2, relay_pb2 as v1

Key, Breaker, Window = providers_pb2.Key, providers_pb2.Breaker, providers_pb2.Window
HOUR = 3_600_000


def told(status: v1.Status, unanswered: tuple[str, ...] = ()) -> list[v1.Notice]:
    found = notices(status, unanswered, lambda ms: f"T{ms}")
    for notice in found:
        assert notice.message.endswith(".")
        assert notice.message[0].isupper() or notice.message[0].isdigit() or unanswered
        assert notice.subject
    return found


def with_key(key: Key, **provider: object) -> v1.Status:
    made = providers_pb2.Provider(name="zai", enabled=True, keys=[key])
    made.MergeFrom(providers_pb2.Provider(**provider))  # type: ignore[arg-type]
    return v1.Status(revision=14, providers=[made])


def test_nothing_needs_a_look() -> None:
    assert told(v1.Status()) == []
    assert told(with_key(Key(name="plan", state=Key.STATE_IN_USE))) == []


def test_models_without_a_target() -> None:
    (notice,) = told(v1.Status(), ("opus", "sonnet"))
    assert notice.severity == v1.Notice.SEVERITY_ERROR
    assert notice.message == "No target can take a request now for opus, sonnet."
    (notice,) = told(v1.Status(), tuple(f"m{number}" for number in range(9)))
    assert notice.message.endswith("for m0, m1, m2, m3, m4 and 4 more.")


def test_a_reload_that_failed() -> None:
    (notice,) = told(v1.Status(revision=14, reload_problem="config.yaml:24:5: unknown key"))
    assert notice.message == (
        "The last reload failed: config.yaml:24:5: unknown key. Number 14 stays in force."
    )
    assert notice.command == "ccrelay config check"


def test_keys() -> None:
    (notice,) = told(
        with_key(
            Key(name="plan", state=Key.STATE_REFUSED, cooldown_until_ms=5, cooldown_reason="x")
        )
    )
    assert (notice.severity, notice.subject) == (v1.Notice.SEVERITY_ERROR, "zai/plan")
    assert notice.message.endswith("replace it. It is tried again at T5.")
    assert notice.command == "ccrelay keys clear-cooldown zai/plan"
    (notice,) = told(
        with_key(
            Key(name="plan", state=Key.STATE_COOLDOWN, cooldown_until_ms=5, cooldown_reason="why")
        )
    )
    assert notice.severity == v1.Notice.SEVERITY_WARNING
    assert notice.message == "Cooldown until T5: why."
    rest = providers_pb2.GroupCooldown(group="opus", until_ms=9)
    (notice,) = told(with_key(Key(name="plan", state=Key.STATE_IDLE, group_cooldowns=[rest])))
    assert notice.message == "Cooldown for opus until T9."
    assert told(with_key(Key(name="plan", state=Key.STATE_DISABLED, group_cooldowns=[rest]))) == []


def test_a_command_is_safe_to_paste_whatever_the_key_is_called() -> None:
    key = Key(name="a; rm -rf '~'\x1b", state=Key.STATE_REFUSED)
    (notice,) = told(with_key(key))
    assert shlex.split(notice.command) == [
        *("ccrelay", "keys", "clear-cooldown"),
        "zai/a; rm -rf '~'\\u001b",
    ]


def test_breakers() -> None:
    breaker = Breaker(state=Breaker.STATE_OPEN, resumes_at_ms=7)
    status = with_key(Key(name="plan"), breaker=breaker)
    (notice,) = told(status)
    assert notice.message == "Its endpoint fails, so no request goes there until T7."
    assert notice.severity == v1.Notice.SEVERITY_WARNING
    assert notice.command == "ccrelay providers probe zai"
    both = told(status, ("m",))
    assert [one.severity for one in both] == [v1.Notice.SEVERITY_ERROR] * 2
    status.providers[0].breaker.state = Breaker.STATE_HALF_OPEN
    assert "one request at a time" in told(status)[0].message
    status.providers[0].enabled = False
    assert told(status) == []


def test_windows_that_run_out() -> None:
    def window(**members: object) -> list[v1.Notice]:
        made = Window(name="7d", **members)  # type: ignore[arg-type]
        return told(with_key(Key(name="login", state=Key.STATE_IDLE, windows=[made])))

    (notice,) = window(utilization=0.71, full_at_ms=100 * HOUR, resets_at_ms=125 * HOUR)
    assert notice.message == (
        "The 7-day window runs out T360000000 at this rate, 25 h before its reset."
    )
    (notice,) = window(utilization=1.0, resets_at_ms=5)
    assert notice.message == "The 7-day window is used up until T5."
    assert window(utilization=0.71, full_at_ms=126 * HOUR, resets_at_ms=125 * HOUR) == []
    assert window(utilization=0.99) == []
    assert window(utilization=1.2) == []  # a minute window, which slides


def test_the_ledger() -> None:
    status = v1.Status()
    status.management.ledger.state = v1.Ledger.STATE_FAILING
    status.management.ledger.problem = "The disk is full: free some space"
    status.management.ledger.dropped = 12
    failing, dropped = told(status)
    assert failing.message == "The disk is full: free some space."
    assert failing.severity == v1.Notice.SEVERITY_ERROR
    assert dropped.message.startswith("12 exchanges are missing")


def test_overrides_restarts_and_draining() -> None:
    status = with_key(
        Key(name="plan", overrides=[providers_pb2.Override(id="zai/plan.weight")]),
        overrides=[providers_pb2.Override(id="zai.enabled")],
    )
    status.management.restarts = 2
    status.state = v1.Status.STATE_DRAINING
    draining, restarts, overrides = told(status)
    assert "ends when" in draining.message
    assert "2 times" in restarts.message
    assert "2 settings were changed" in overrides.message
    assert "zai.enabled, zai/plan.weight" in overrides.message
    assert overrides.command == "ccrelay overrides"


def test_remarks_on_the_configuration_come_last() -> None:
    remark = "server.workers: needs a restart"
    found = notices(v1.Status(reload_problem="x"), (), str, [remark])
    assert [notice.subject for notice in found] == ["config", "config"]
    assert found[1].message == "server.workers: needs a restart."


def test_errors_come_first() -> None:
    status = with_key(
        Key(name="plan", state=Key.STATE_COOLDOWN, cooldown_until_ms=1, cooldown_reason="x")
    )
    status.providers.add(name="b", enabled=True).keys.add(name="k", state=Key.STATE_REFUSED)
    assert [notice.subject for notice in told(status)] == ["b/k", "zai/plan"]
