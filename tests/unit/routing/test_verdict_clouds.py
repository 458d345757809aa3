"""What follows from errors of clouds, beyond their reason: cooldowns, blame, what is tried."""

import pytest

from ccrelay._fast.rate_limits import Cooldown
from ccrelay.config.model import Health
from ccrelay.providers.cloud import CloudDialect
from ccrelay.routing.verdict import Blame, ErrorPriority, Verdict, of_status
from tests.unit.providers.cloud_error_cases import aws, google, info, ours
from tests.unit.providers.clouds import cloud

NOW = 1_790_035_200.0
HEALTH = Health(quota_cooldown_s=900, key_cooldown_max_s=86_400)
INVOKE, VERTEX, PLATFORM = cloud("bedrock_invoke"), cloud("vertex"), cloud("aws_platform")


def judge(
    dialect: CloudDialect,
    status: int,
    sent: tuple[bytes, bytes],
    head: dict[bytes, bytes] | None = None,
    health: Health = HEALTH,
    now: float = NOW,
) -> Verdict:
    fields = {b"x-amzn-errortype": sent[1], **(head or {})}
    return of_status(status, fields.get, sent[0], dialect, health, now, own_key=True)


def test_an_expired_credential_is_blamed_and_else_handled_as_a_refused_key() -> None:
    verdict = judge(INVOKE, 403, aws("ExpiredTokenException", "expired"))
    assert verdict.blame is Blame.CREDENTIAL
    assert verdict.elsewhere
    assert verdict.priority is ErrorPriority.OURS
    assert verdict.counts is True, "the endpoint answers"
    assert verdict.cooldown_reason is Cooldown.REFUSED, "until a trial, where no refresh helps"


def test_a_credential_that_could_not_be_checked_is_in_use() -> None:
    sent = google("UNAUTHENTICATED", "The service is temporarily unavailable", 401)
    verdict = judge(VERTEX, 401, sent)
    assert (verdict.reason, verdict.cooldown_reason) == ("auth_unavailable", Cooldown.NONE)


def test_a_throttled_model_rests_at_its_key_and_others_are_tried() -> None:
    verdict = judge(INVOKE, 429, aws("ThrottlingException", "Too many requests"))
    assert (verdict.priority, verdict.elsewhere) == (ErrorPriority.CROWDED, True)
    assert (verdict.cooldown_s, verdict.timed, verdict.counts) == (0.0, False, None)


@pytest.mark.parametrize("head", [{b"retry-after": b"34"}, {}])
def test_a_time_that_is_told_is_that_of_the_model(head: dict[bytes, bytes]) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
    sent = google("RESOURCE_EXHAUSTED", "Quota exceeded", 429, *([] if head else [retry]))
    verdict = judge(VERTEX, 429, sent, head)
    assert verdict.reason == "rate_limited"
    assert verdict.cooldown_s == pytest.approx(34)
    assert verdict.per_model
    assert verdict.timed


def test_the_limits_of_anthropics_own_api_behind_a_cloud_are_those_of_the_key() -> None:
    verdict = judge(PLATFORM, 429, ours("rate_limit_error", "wait"), {b"retry-after": b"7"})
    assert (verdict.cooldown_s, verdict.per_model) == (7.0, False)


# 2026-09-21T00:00:00Z is 1789948800; Los Angeles is at UTC-7 then.
@pytest.mark.parametrize(
    ("now", "utc_s", "pacific_s"),
    [
        (1_789_948_800.0, 86_400, 7 * 3600),
        (1_789_948_800.0 + 3600, 82_800, 6 * 3600),
        (1_789_948_800.0 + 7 * 3600, 17 * 3600, 86_400),
        (1_789_948_800.0 - 1, 1, 7 * 3600 + 1),
    ],
)
def test_the_quota_of_a_day_ends_at_midnight_there(
    now: float, utc_s: float, pacific_s: float
) -> None:
    daily = judge(INVOKE, 429, aws("ThrottlingException", "Too many tokens per day"), now=now)
    assert (daily.reason, daily.per_model) == ("quota_spent", True)
    assert daily.cooldown_s == pytest.approx(utc_s)
    limit = info("RATE_LIMIT_EXCEEDED", quota_limit="RequestsPerDayPerProject")
    daily = judge(VERTEX, 429, google("RESOURCE_EXHAUSTED", "Quota", 429, limit), now=now)
    assert daily.cooldown_s == pytest.approx(pacific_s)


def test_no_cooldown_is_longer_than_configured() -> None:
    short = Health(key_cooldown_max_s=60, quota_cooldown_s=30)
    daily = judge(INVOKE, 429, aws("ThrottlingException", "Too many tokens per day"), health=short)
    assert daily.cooldown_s <= 60
    quota = judge(INVOKE, 400, aws("ServiceQuotaExceededException", "no"), health=short)
    assert (quota.reason, quota.cooldown_s) == ("quota_spent", 30)


@pytest.mark.parametrize(
    ("text", "blame"),
    [
        ("The provided model identifier is invalid.", Blame.MODEL),
        ("You don't have access to the model with the specified model ID.", Blame.KEY),
    ],
)
def test_a_model_is_tried_elsewhere_and_no_key_is_disabled(text: str, blame: Blame) -> None:
    verdict = judge(INVOKE, 400, aws("ValidationException", text))
    assert (verdict.blame, verdict.elsewhere) == (blame, True)
    assert verdict.priority is ErrorPriority.MODEL
    assert verdict.cooldown_reason is Cooldown.NONE


def test_a_role_whose_name_sounds_like_a_place_is_none() -> None:
    text = (
        "User: arn:aws:sts::123456789012:assumed-role/vpn-upstream/region is not authorized to "
        "perform: bedrock:InvokeModel"
    )
    verdict = judge(INVOKE, 403, aws("AccessDeniedException", text))
    assert verdict.reason == "model_refused"


def test_what_is_too_large_here_may_be_taken_elsewhere() -> None:
    verdict = judge(INVOKE, 413, (b"<html>", b""))
    assert (verdict.blame, verdict.elsewhere, verdict.counts) == (Blame.MODEL, True, True)


def test_a_thinking_signature_is_judged_as_everywhere() -> None:
    text = "messages.1.content.0: Invalid `signature` in `thinking` block"
    assert judge(INVOKE, 400, aws("ValidationException", text)).blame is Blame.SIGNATURE
