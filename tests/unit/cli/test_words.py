import pytest

from ccrelay.cli import words
from ccrelay.v1 import providers_pb2 as pb

NOW = 1_000_000_000_000


@pytest.mark.parametrize(
    ("state", "until_s", "text"),
    [
        (pb.Key.STATE_IDLE, 0, "idle"),
        (pb.Key.STATE_IN_USE, 30, "in use"),
        (pb.Key.STATE_COOLDOWN, 47, "cooldown 0:47"),
        (pb.Key.STATE_COOLDOWN, -1, "cooldown"),
        (pb.Key.STATE_REFUSED, 0, "refused"),
        (pb.Key.STATE_DISABLED, 0, "disabled"),
        (99, 0, "?"),
    ],
)
def test_states_of_keys(state: int, until_s: int, text: str) -> None:
    key = pb.Key(state=state, cooldown_until_ms=NOW + until_s * 1000)  # type: ignore[arg-type]
    assert words.key_state(key, NOW).text == text


def test_notes_on_breakers() -> None:
    opened = pb.Breaker(state=pb.Breaker.STATE_OPEN, failures=1, resumes_at_ms=NOW + 22_000)
    assert words.breaker_note(opened, NOW) == "1 failure; probe in 0:22"
    assert words.breaker_note(pb.Breaker(state=pb.Breaker.STATE_OPEN), NOW) == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.anthropic.com/v1", "api.anthropic.com"),
        ("https://api.anthropic.com:443", "api.anthropic.com"),
        ("http://127.0.0.1:11434", "127.0.0.1:11434"),
        ("http://[::1]:99999", "http://[::1]:99999"),
        ("http://[", "http://["),
        ("", ""),
    ],
)
def test_addresses(url: str, shown: str) -> None:
    assert words.address(url) == shown


@pytest.mark.parametrize(
    ("figures", "billing", "shown"),
    [
        ({}, pb.BILLING_TOKENS, "$0"),
        ({"billed_micros": 5_000_000}, pb.BILLING_TOKENS, "$5.00"),
        ({"plan_micros": 5_000_000}, pb.BILLING_PLAN, "$5.00p"),
        ({"plan_micros": 1_000_000, "billed_micros": 1_000_000}, pb.BILLING_PLAN, "$2.00"),
        ({"exchanges": 2, "unpriced": 2}, pb.BILLING_TOKENS, "?"),
        ({"exchanges": 3, "unpriced": 1, "billed_micros": 10_000}, pb.BILLING_TOKENS, "$0.01?"),
        ({"exchanges": 3}, pb.BILLING_FREE, "free"),
    ],
)
def test_money_of_today(figures: dict[str, int], billing: int, shown: str) -> None:
    cell = words.money_today(pb.Totals(**figures), billing)
    assert cell.text + cell.mark == shown


def test_a_window_needs_a_look_when_it_runs_out_before_its_reset() -> None:
    assert not words.needs_look(pb.Window(utilization=0.99))
    assert words.needs_look(pb.Window(utilization=1.0))
    assert words.needs_look(pb.Window(utilization=0.5, status="allowed_warning"))
    assert words.needs_look(pb.Window(utilization=0.5, utilization_at_reset=1.01))
    assert words.needs_look(pb.Window(utilization=0.5, full_at_ms=5, resets_at_ms=6))
    assert words.needs_look(pb.Window(utilization=0.5, full_at_ms=5))
    assert not words.needs_look(pb.Window(utilization=0.5, full_at_ms=7, resets_at_ms=6))


def test_models_without_what_all_have_in_common() -> None:
    assert words.short_model("claude-opus-5-5") == "opus-5-5"
    assert words.short_model("claude-opus-5-5-20260901") == "opus-5-5"
    assert words.short_model("glm-5.3") == "glm-5.3"
    assert words.short_model("") == ""
