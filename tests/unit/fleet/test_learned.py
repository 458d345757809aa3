from datetime import UTC, datetime
from typing import Any

import pytest

from ccrelay._fast.rate_limits import Capacity, Cooldown, Dimension
from ccrelay.config.model import Health
from ccrelay.fleet import learned
from ccrelay.fleet.learned import (
    NOTHING_SPENT,
    Get,
    RetryAfter,
    Spent,
    Window,
    has_any,
    learn,
    pause,
    seconds_until,
    windows,
)
from ccrelay.fleet.model_group import group_of

NOW = 1000.0
WALL = 1_800_000_000.0  # 2027-01-15T08:00:00Z
HEALTH = Health(key_cooldown_max_s=3600.0)
UNIFIED = "anthropic-ratelimit-unified-"


class ErrorReply:
    """A gauge that remembers what it is told."""

    def __init__(self) -> None:
        self.limits: dict[Dimension, tuple[int, int, float]] = {}
        self.kept_until: set[float] = set()
        self.rests: list[tuple[float, int]] = []
        self.groups: dict[int, float] = {}
        self.spent = NOTHING_SPENT  # as `learn` returned it

    def learn(
        self,
        dim: int,
        limit: int,
        remaining: int,
        resets_at: float,
        keep_until: float,
        now: float,
    ) -> None:
        assert now == NOW
        self.limits[Dimension(dim)] = (limit, remaining, resets_at)
        self.kept_until.add(keep_until)

    def start_cooldown(self, until: float, reason: int) -> None:
        self.rests.append((until, reason))

    def start_group_cooldown(self, group: int, until: float) -> None:
        self.groups[group] = until

    def state(self, now: float, tokens_in: int, tokens_out: int, group: int) -> int:
        assert (now, tokens_in, tokens_out) == (NOW, 0, 0)
        return Capacity.COOLING_DOWN if group in self.groups else Capacity.READY


def getter(headers: dict[str, str]) -> Get:
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}.get


def told(headers: dict[str, str]) -> ErrorReply:
    gauge: Any = ErrorReply()
    gauge.spent = learn(getter(headers), gauge, NOW, WALL, HEALTH)
    assert isinstance(gauge, ErrorReply)
    return gauge


def first_party(kind: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    name = f"anthropic-ratelimit-{kind}"
    return {f"{name}-limit": limit, f"{name}-remaining": remaining, f"{name}-reset": reset}


# ---- limits


@pytest.mark.parametrize(
    ("kind", "dim"),
    [
        ("requests", Dimension.REQUESTS),
        ("tokens", Dimension.TOKENS),
        ("input-tokens", Dimension.INPUT),
        ("output-tokens", Dimension.OUTPUT),
    ],
)
def test_a_limit_of_anthropics_is_learned_with_what_is_left_of_it(
    kind: str, dim: Dimension
) -> None:
    gauge = told(first_party(kind, "50", "12", "2027-01-15T08:00:30Z"))
    assert gauge.limits == {dim: (50, 12, NOW + 30)}
    assert gauge.kept_until == {NOW + learned.KEEP_S}
    assert (gauge.rests, gauge.spent) == ([], NOTHING_SPENT)


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("1s", 1), ("6m0s", 120), ("250ms", 0.25), ("20", 20), ("1800000045", 45)],
)
def test_limits_in_openais_names_are_learned_whatever_the_form_of_the_reset(
    reset: str, seconds: float
) -> None:
    gauge = told(
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": reset,
        }
    )
    assert gauge.limits == {Dimension.REQUESTS: (60, 59, NOW + seconds)}


def test_a_response_without_limit_headers_teaches_nothing() -> None:
    gauge = told({"content-type": "application/json"})
    assert (gauge.limits, gauge.rests, gauge.spent) == ({}, [], NOTHING_SPENT)


def test_a_reset_is_not_believed_beyond_the_window_of_a_limit() -> None:
    gauge = told(first_party("requests", "50", "0", "2027-01-21T08:00:00Z"))
    assert gauge.limits == {Dimension.REQUESTS: (50, 0, NOW + learned.WINDOW_MAX_S)}
    assert gauge.rests == []


@pytest.mark.parametrize("reset", ["", "soon", "2027-01-15T07:59:59Z", "0", "1e9", "2027-13-01"])
def test_what_is_left_means_nothing_without_an_instant_to_come(reset: str) -> None:
    gauge = told(first_party("requests", "50", "0", reset))
    assert gauge.limits == {Dimension.REQUESTS: (50, -1, NOW)}


@pytest.mark.parametrize(
    "limit", ["", "-1", "abc", "1.5", "99999999999999999999", "1_000", "\xb2", "0"]
)
def test_a_limit_that_is_no_number_is_ignored(limit: str) -> None:
    gauge = told(first_party("tokens", limit, "7", "2027-01-15T08:00:30Z"))
    assert gauge.limits == {Dimension.TOKENS: (0, 7, NOW + 30)}


def test_more_cannot_be_left_than_the_limit() -> None:
    gauge = told(first_party("tokens", "100", "900", "2027-01-15T08:00:30Z"))
    assert gauge.limits == {Dimension.TOKENS: (100, 100, NOW + 30)}


@pytest.mark.parametrize(
    "headers", [{}, {"retry-after": "5"}, {"anthropic-ratelimit-requests-limit": "50"}]
)
def test_nothing_is_learned_where_no_telltale_is(headers: dict[str, str]) -> None:
    assert not has_any(getter(headers))
    assert told(headers).limits == {}


# ---- unified windows


@pytest.mark.parametrize(
    ("headers", "open_s"),
    [
        ({"status": "allowed", "5h-utilization": "0.4", "5h-reset": "1800000100"}, None),
        ({"status": "rejected", "5h-status": "rejected", "5h-reset": "1800000100"}, 100),
        ({"status": "rejected", "reset": "1800000200"}, 200),
        ({"5h-status": "rejected", "5h-reset": "1800000100"}, 100),
        ({"5h-status": "allowed", "5h-utilization": "1.0", "5h-reset": "1800000100"}, 100),
        (
            {
                "5h-status": "allowed",
                "5h-utilization": "1.0000000000000002",
                "5h-reset": "1800000100",
            },
            100,
        ),
        ({"7d-status": "rejected", "7d-reset": "1800500000"}, 3600),
        ({"5h-status": "rejected"}, None),
        ({"5h-status": "rejected", "5h-reset": "1700000000"}, None),
        ({"5h-status": "rejected", "5h-reset": "tomorrow"}, None),
        ({"5h-status": "allowed", "5h-utilization": "nan", "5h-reset": "1800000100"}, None),
        # Overage pays for what is above the window.
        ({"status": "allowed", "5h-status": "rejected", "5h-reset": "1800000100"}, None),
        # Windows of all models that no release has named yet.
        *[
            ({"status": "rejected", "representative-claim": claim, "reset": "1800000200"}, 200)
            for claim in ("seven_day_overage_included", "overage", "thirty_day", "five_hour_x", "")
        ],
        # A window of one model is no window of the key.
        (
            {
                "status": "rejected",
                "representative-claim": "seven_day_opus",
                "5h-status": "allowed",
                "reset": "1800000200",
            },
            None,
        ),
        (
            {"status": "rejected", "representative-claim": "five_hour", "reset": "1800000200"},
            200,
        ),
    ],
)
def test_a_spent_window_cools_the_key_down_until_its_reset(
    headers: dict[str, str], open_s: float | None
) -> None:
    gauge = told({UNIFIED + name: value for name, value in headers.items()})
    assert gauge.rests == ([] if open_s is None else [(NOW + open_s, int(Cooldown.QUOTA))])
    assert gauge.spent.seconds == (open_s or 0.0)  # returned for the log


CLAIM = "representative-claim"


@pytest.mark.parametrize(
    ("headers", "families"),
    [
        ({"status": "rejected", CLAIM: "seven_day_sonnet", "reset": "1800000200"}, {"sonnet": 200}),
        ({"status": "rejected", CLAIM: "seven_day_opus", "7d_opus-reset": "1800000300"},
         {"opus": 300}),
        ({"status": "rejected", CLAIM: "five_hour_haiku", "reset": "1900000000"}, {"haiku": 3600}),
        ({"status": "rejected", CLAIM: "seven_day_opus"}, {}),
        ({"status": "rejected", CLAIM: "seven_day", "reset": "1800000200"}, {}),
        # Told with the answer to another model.
        ({"status": "allowed", "7d_sonnet-status": "rejected", "7d_sonnet-reset": "1800000100"},
         {"sonnet": 100}),
        ({"status": "allowed", "7d_opus-utilization": "1.02", "7d_opus-reset": "1800000100"},
         {"opus": 100}),
        ({"status": "allowed", "7d_opus-utilization": "0.98", "7d_opus-reset": "1800000100"}, {}),
        ({"status": "allowed", "overage-status": "allowed", "7d_opus-status": "rejected",
          "7d_opus-reset": "1800000100"}, {}),
    ],
)  # fmt: skip
def test_a_spent_window_of_a_family_cools_the_key_down_for_it_alone(
    headers: dict[str, str], families: dict[str, int]
) -> None:
    gauge = told({UNIFIED + name: value for name, value in headers.items()})
    groups = {group_of(f"claude-{name}-4-5"): NOW + s for name, s in families.items()}
    assert gauge.groups == groups
    assert gauge.spent.families == families
    if headers.get(CLAIM) != "seven_day":
        assert gauge.rests == []


def test_retry_after_is_the_reset_of_a_family_too() -> None:
    headers = {"status": "rejected", CLAIM: "seven_day_opus", "reset": "1800003000"}
    gauge = told({UNIFIED + name: v for name, v in headers.items()} | {"retry-after": "20"})
    assert gauge.groups == {group_of("opus"): NOW + 20}


# ---- clocks


@pytest.mark.parametrize("skew_s", [-7200, -90, 0, 90, 7200])
def test_instants_are_read_by_the_responses_own_clock(skew_s: int) -> None:
    def at(seconds: int) -> str:
        return datetime.fromtimestamp(WALL + skew_s + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    date = datetime.fromtimestamp(WALL + skew_s, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    told_at = {"date": date}
    gauge = told(told_at | first_party("tokens", "100", "40", at(30)))
    assert gauge.limits == {Dimension.TOKENS: (100, 40, NOW + 30)}
    spent = told_at | first_party("tokens", "9", "0", at(5))
    assert pause(getter(spent), WALL) == RetryAfter(5, quota=False)
    window = {"status": "rejected", "reset": str(int(WALL) + skew_s + 200)}
    gauge = told(told_at | {UNIFIED + name: value for name, value in window.items()})
    assert gauge.spent == Spent(200.0, {})


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Jan 2027 08:01:00 GMT", "x" * 200])
def test_without_a_date_instants_are_read_by_our_clock(date: str) -> None:
    gauge = told({"date": date} | first_party("tokens", "100", "40", "2027-01-15T08:00:30Z"))
    assert gauge.limits == {Dimension.TOKENS: (100, 40, NOW + 30)}


@pytest.mark.parametrize("reset", ["1800003000", "1700000000", "1800000001"])
@pytest.mark.parametrize("claim", ["five_hour", "seven_day_overage_included"])
def test_no_reset_overrules_retry_after(reset: str, claim: str) -> None:
    headers = {
        UNIFIED + "status": "rejected",
        UNIFIED + CLAIM: claim,
        UNIFIED + "reset": reset,
        UNIFIED + "5h-status": "rejected",
        UNIFIED + "5h-reset": reset,
        "retry-after": "30",
    }
    assert pause(getter(headers), WALL) == RetryAfter(30, quota=True)
    assert told(headers).rests in ([], [(NOW + 30, int(Cooldown.QUOTA))])


@pytest.mark.parametrize("name", ["anthropic", "x"])
def test_a_limit_of_0_with_0_left_is_no_information(name: str) -> None:
    if name == "anthropic":
        headers = first_party("tokens", "0", "0", "2027-01-15T08:00:30Z")
    else:
        headers = {"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "0"}
        headers["x-ratelimit-reset-tokens"] = "30s"
    assert told(headers).limits == {}


# ---- a 429


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "12"}, RetryAfter(12, quota=False)),
        ({"retry-after": "0.5"}, RetryAfter(0.5, quota=False)),
        ({"retry-after": "60", "retry-after-ms": "700"}, RetryAfter(0.7, quota=False)),
        ({"retry-after": "later"}, None),
        ({"retry-after": "-1"}, None),
        (first_party("tokens", "9", "0", "2027-01-15T08:00:05Z"), RetryAfter(5, quota=False)),
        (first_party("tokens", "9", "1", "2027-01-15T08:00:05Z"), None),
        (
            first_party("tokens", "9", "0", "2027-01-15T08:00:05Z")
            | first_party("requests", "9", "0", "2027-01-15T08:00:09Z"),
            RetryAfter(9, quota=False),
        ),
        (
            {UNIFIED + "status": "rejected", "retry-after": "4000"},
            RetryAfter(4000, quota=True),
        ),
        ({UNIFIED + "status": "allowed", "retry-after": "4"}, RetryAfter(4, quota=False)),
    ],
)
def test_a_refusal_says_how_long_the_cooldown_lasts(
    headers: dict[str, str], expected: RetryAfter | None
) -> None:
    assert pause(getter(headers), WALL) == expected


# ---- instants


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"90", 90),
        (b"1.25", 1.25),
        (b"1h2m3s", 3723),
        (b"1d", 86_400),
        (b"1800000010", 10),
        (b"1800000010500", 10.5),
        (b"2027-01-15T08:01:00Z", 60),
        (b"2027-01-15T09:01:00+01:00", 60),
        (b"2027-01-15T08:01:00.5Z", 60.5),
        (b"2027-01-15T08:01:00", 60),
        (b"Fri, 15 Jan 2027 08:01:00 GMT", 60),
        (b"2020-01-01T00:00:00Z", 0),
        (b"0001-01-01T00:00:00+14:00", 0),
    ],
)
def test_an_instant_is_read_in_every_form_it_was_seen_in(value: bytes, seconds: float) -> None:
    assert seconds_until(value, WALL) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"-1",
        b"inf",
        b"nan",
        b"1e5",
        b"0x10",
        b"1_0",
        b"s",
        b"1x",
        b"9" * 65,
        b"\xff",
        b"1 s",
        b"Fri, 99 Jan 2027 08:01:00 GMT",
        b"9" * 40,
    ],
)
def test_what_is_no_instant_is_none(value: bytes | None) -> None:
    assert seconds_until(value, WALL) is None


# ---- windows as they are shown


def seen(headers: dict[str, str]) -> dict[str, Window]:
    found = windows(getter(headers), WALL)
    assert len({window.name for window in found}) == len(found)
    return {window.name: window for window in found}


def test_the_windows_of_a_subscription_are_shown_with_use_and_reset() -> None:
    found = seen(
        {
            f"{UNIFIED}status": "allowed",
            f"{UNIFIED}5h-status": "allowed_warning",
            f"{UNIFIED}5h-utilization": "0.81",
            f"{UNIFIED}5h-reset": str(int(WALL) + 3600),
            f"{UNIFIED}7d-utilization": "1.02",
            f"{UNIFIED}7d_sonnet-status": "rejected",
            f"{UNIFIED}7d_sonnet-reset": str(int(WALL) + 7200),
        }
    )
    assert found == {
        "5h": Window("5h", 0.81, int(WALL + 3600) * 1000, 0, 0, "allowed_warning"),
        "7d": Window("7d", 1.02, 0, 0, 0, ""),
        "7d_sonnet": Window("7d_sonnet", -1.0, int(WALL + 7200) * 1000, 0, 0, "rejected"),
    }


def test_minute_limits_are_shown_with_what_is_left() -> None:
    found = seen(
        {
            **first_party("requests", "50", "10", "2027-01-15T08:00:30Z"),
            **first_party("input-tokens", "1000", "2000", ""),
            **first_party("output-tokens", "0", "0", ""),
            "x-ratelimit-limit-requests": "9",
            "x-ratelimit-remaining-requests": "9",
            "x-ratelimit-limit-tokens": "100",
            "x-ratelimit-remaining-tokens": "25",
            "x-ratelimit-reset-tokens": "1m30s",
        }
    )
    assert found == {
        "requests": Window("requests", 0.8, int(WALL + 30) * 1000, 50, 10, ""),
        "input_tokens": Window("input_tokens", 0.0, 0, 1000, 1000, ""),
        "tokens": Window("tokens", 0.75, int(WALL + 90) * 1000, 100, 25, ""),
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("5h-utilization", "-1"),
        ("5h-utilization", "nan"),
        ("5h-utilization", "1e3"),
        ("5h-utilization", "9" * 40),
        ("5h-status", "Allowed; x"),
        ("5h-status", "x" * 33),
        ("5h-status", "\xe9"),
        ("7d_unknown-status", "allowed"),
        ("5h-reset", "1900000000"),
    ],
)
def test_what_has_no_form_of_a_window_is_left_out(field: str, value: str) -> None:
    assert seen({UNIFIED + field: value}) == {}


def test_absurd_values_of_a_window_are_bounded() -> None:
    found = seen({f"{UNIFIED}5h-utilization": "99999", f"{UNIFIED}5h-reset": "1e99"})
    assert found["5h"] == Window("5h", 100.0, 0, 0, 0, "")
    found = seen({f"{UNIFIED}5h-utilization": "0.5", f"{UNIFIED}5h-reset": "999999999999999"})
    assert found["5h"].resets_at_ms == 0


def test_a_reset_is_told_by_our_own_clock() -> None:
    found = seen(
        {
            "date": "Fri, 15 Jan 2027 09:00:00 GMT",  # an hour ahead of ours
            f"{UNIFIED}5h-utilization": "0.5",
            f"{UNIFIED}5h-reset": str(int(WALL) + 3600 + 60),
        }
    )
    assert found["5h"].resets_at_ms == int(WALL + 60) * 1000


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("0.19999999999999998", 0.2),
        ("0.30000000000000004", 0.3),
        ("5.551115123125783e-17", 0.0),
        ("0.12345678901234567890", 0.12345678901234568),
        ("1e400", -1.0),
        ("-0.1", -1.0),
    ],
)
def test_a_share_may_be_written_as_it_was_computed(told: str, seen: float) -> None:
    headers = {
        b"anthropic-ratelimit-unified-5h-utilization": told.encode(),
        b"anthropic-ratelimit-unified-5h-status": b"allowed",
    }
    (window,) = learned.windows(headers.get, 1_800_000_000.0)
    assert window.utilization == pytest.approx(seen)
