"""Spent quotas and balances in the wording of services, and the reset they name in any form."""

import json

import pytest

from ccrelay.providers.base import read_fault
from ccrelay.providers.quota import seconds_to_midnight, seconds_to_reset

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z, 16:00 in Beijing

# ---- what is spent

SPENT = [
    # Anthropic
    (400, "invalid_request_error", "", "Your credit balance is too low to access the API."),
    (400, "invalid_request_error", "", "You have reached your specified API usage limits."),
    (429, "rate_limit_error", "", "You've hit your limit \u00b7 resets 4pm (Asia/Tashkent)"),
    # Kimi
    (
        403,
        "permission_error",
        "",
        "You've reached your usage limit for this billing cycle. Your "
        "quota will be refreshed in the next cycle. To continue now, purchase extra usage",
    ),
    (403, "access_terminated_error", "", "You've reached your weekly (7-day) usage limit."),
    (403, "access_terminated_error", "", "You've reached your monthly usage limit for this cycle"),
    (
        429,
        "exceeded_current_quota_error",
        "",
        "Your account is suspended due to insufficient balance, please recharge your account",
    ),
    # OpenRouter
    (403, "", "403", "Key limit exceeded (total limit). Manage it using https://or.example/keys"),
    (402, "", "402", "This request requires more credits, or fewer max_tokens."),
    (400, "", "", "More credits are required to run this request. 128000 tokens needed"),
    (429, "", "429", "Rate limit exceeded: free-models-per-day"),
    # one-api and new-api
    (403, "one_api_error", "insufficient_user_quota", "user quota is not enough"),
    (403, "new_api_error", "pre_consume_token_quota_failed", "m"),
    (401, "new_api_error", "", "\u8be5\u4ee4\u724c\u989d\u5ea6\u5df2\u7528\u5c3d"),
    (403, "new_api_error", "", "\u7528\u6237\u989d\u5ea6\u4e0d\u8db3, \u5269\u4f59\u989d\u5ea6: 0"),
    (403, "new_api_error", "", "\u9884\u6263\u8d39\u989d\u5ea6\u5931\u8d25"),
    (403, "v_api_error", "", "token quota is not enough, token remain quota: $0.01"),
    # SiliconFlow
    (403, "", "30001", "Sorry, your account balance is insufficient"),
    (403, "", "", "The selected model requires paid balance. Your paid balance is insufficient."),
    # Ark
    (429, "TooManyRequests", "AccountQuotaExceeded", "You have exceeded the 5-hour usage quota."),
    (
        403,
        "Forbidden",
        "AccountOverdueError",
        "The request failed because your account has an overdue balance.",
    ),
    (429, "TooManyRequests", "SetLimitExceeded", "m"),
    # Alibaba
    (400, "", "Arrearage", "Access denied, please make sure your account is in good standing."),
    (403, "", "AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted."),
    # DeepSeek, MiniMax
    (402, "unknown_error", "invalid_request_error", "Insufficient Balance"),
    (500, "api_error", "", "insufficient balance (1008)"),
    (
        429,
        "rate_limit_error",
        "",
        "usage limit exceeded, 5-hour usage limit reached for Token Plan",
    ),
    # Z.AI behind a gateway
    (
        429,
        "",
        "1308",
        "Usage limit reached for 5 hour. Your limit will reset at 2026-09-09 05:38:28",
    ),
    (429, "", "1310", "Weekly/Monthly Limit Exhausted. Your limit will reset at ..."),
    (429, "", "1113", "\u4f59\u989d\u4e0d\u8db3\u6216\u65e0\u53ef\u7528\u8d44\u6e90\u5305"),
    (429, "", "", "\u5df2\u8fbe\u5230 5 \u5c0f\u65f6\u7684\u4f7f\u7528\u4e0a\u9650"),
    (403, "", "", "\u60a8\u7684\u8d26\u6237\u5df2\u6b20\u8d39"),
    (
        429,
        "",
        "1304",
        "\u60a8\u7684\u8d26\u6237\u5df2\u8fbe\u4eca\u65e5\u8c03\u7528\u6b21\u6570\u9650\u989d",
    ),
    (429, "", "1313", "Your usage does not comply with the Fair Usage Policy"),
    (403, "Forbidden", "OperationDenied.ServiceOverdue", "m"),
    (
        429,
        "rate_limit_error",
        "",
        "Number of request tokens has exceeded your daily rate limit (https://a.example)",
    ),
    (429, "", "", "The weekly rate limit of your plan was reached"),
    (429, "auth_error", "400", "ExceededTokenBudget: Current spend: 1.0; Max Budget: 1.0"),
    (429, "auth_error", "", "Crossed budget: team over budget"),
    (400, "error", "", "Max budget limit reached"),
    (403, "error", "", "You do not have enough credits to make this request"),
    (403, "error", "", "You have no credits left"),
    (403, "error", "", "Wallet balance: 0.00"),
    (403, "error", "", "Your workspace is suspended because of unpaid invoices"),
    (403, "error", "", "Your invoice is past due"),
    (403, "error", "", "Your free trial has ended"),
    (403, "error", "", "No active subscription"),
    (403, "error", "", "Subscription not found or expired"),
    (429, "error", "", "Free tier limit reached. Please upgrade"),
    (502, "upstream_error", "", "upstream error: insufficient_quota"),
    # balance 0, please recharge; today's free calls are used up
    (403, "error", "", "\u8d26\u6237\u4f59\u989d\uff1a0\uff0c\u8bf7\u5145\u503c"),
    (429, "error", "", "\u4eca\u65e5\u514d\u8d39\u6b21\u6570\u5df2\u7528\u5b8c"),
    # OpenAI, Ollama's cloud, others
    (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
    (429, "", "", "Rate limit reached on tokens per day (TPD): Limit 10000. Try again in 8m38.4s"),
    (429, "", "", "you have reached your session usage limit"),
    (401, "error", "", "Your trial has expired"),
    (403, "error", "", "Your membership has expired"),
    (429, "", "429", "Daily request limit exceeded"),
    (403, "permission_error", "", "You've exhausted your 5-hour quota. Resets in 2h 13m."),
    (400, "budget_exceeded", "400", "Budget has been exceeded! Current cost: 5, Max budget: 5"),
    (403, "error", "", "The monthly spending limit of this key was reached"),
    (400, "error", "", "You have run out of credits."),
]

NOT_SPENT = [
    (429, "rate_limit_error", "", "This request would exceed your account's rate limit."),
    (429, "rate_limit_error", "", "Number of concurrent connections has exceeded your rate limit"),
    (
        429,
        "rate_limit_error",
        "",
        "This would exceed your organization's maximum usage increase "
        "rate for input tokens per minute",
    ),
    (429, "rate_limit_error", "", "exceeds the rate limit of 30,000 input tokens per minute"),
    (429, "", "", "Quota exceeded for requests per minute per project"),
    (429, "", "1302", "High concurrency usage of this API exceeds the limit"),
    (429, "", "", "Resource has been exhausted (e.g. check quota)."),
    (429, "rate_limit_reached_error", "", "Your account reached organization max RPM: 3"),
    (401, "authentication_error", "", "invalid x-api-key"),
    (401, "authentication_error", "", "API key has expired"),
    (403, "permission_error", "", "Your key may not use this model"),
    (400, "invalid_request_error", "", "prompt is too long: 210000 tokens > 200000 maximum"),
    (400, "invalid_request_error", "", "max_tokens: 9 exceeds the limit of 8"),
    (400, "invalid_request_error", "", "image exceeds 5 MB maximum: budget_tokens must be lower"),
    (
        422,
        "",
        "",
        "messages.0.content: Input should be a list [type=list_type, "
        "input_value='what does insufficient balance mean?']",
    ),
    (400, "", "", "x" * 500 + " insufficient balance"),
    (400, "invalid_request_error", "", "thinking budget exceeds max_tokens"),
    (400, "invalid_request_error", "", "thinking budget exceeded"),
    (400, "invalid_request_error", "", "tools.0.custom.name: 'quota exceeded' is no name"),
    (400, "invalid_request_error", "", "max_tokens exceeds the balance of the context window"),
    (403, "error", "", "Your balance is 0.5"),
    (403, "", "403", "It requires moderation. Your input was flagged. No credits were charged."),
    (400, "invalid_request_error", "", "Token budget exceeded: 210000 > 200000"),
    (413, "error", "", "Request body exceeds the plan limit of 10MB"),
    (429, "", "", "rate limit exceeded, quota: 60 requests per minute"),
    (429, "", "", "Usage limit exceeded: 60 requests/min"),
    (429, "", "", "Request limit exceeded: quota 10 req/s"),
    (429, "", "", "Quota of 600 tokens every 10 seconds exceeded"),
    (429, "", "", "usage limit reached: 5 / 1m"),
    # in a minute, concurrency, frequency
    (429, "", "", "\u5df2\u8fbe\u5230\u6bcf\u5206\u949f\u8c03\u7528\u9650\u989d"),
    (429, "", "", "\u5e76\u53d1\u6570\u8d85\u51fa\u9650\u989d"),
    (429, "", "", "\u9891\u7387\u8d85\u8fc7\u9650\u989d, 1\u5206\u949f\u5185 10"),
    (529, "overloaded_error", "", "Overloaded"),
    (500, "api_error", "", "Internal server error"),
]


def body(kind: str, code: str, message: str) -> bytes:
    told = {"type": kind, "code": code, "message": message}
    return json.dumps({"error": {name: text for name, text in told.items() if text}}).encode()


@pytest.mark.parametrize(("status", "kind", "code", "message"), SPENT)
def test_a_spent_quota_is_recognized_by_its_wording(
    status: int, kind: str, code: str, message: str
) -> None:
    assert read_fault(status, body(kind, code, message)).spent


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_the_status_makes_no_difference(status: int) -> None:
    for kind, code, message in {(row[1], row[2], row[3]) for row in SPENT if row[0] != 402}:
        assert read_fault(status, body(kind, code, message)).spent, message


@pytest.mark.parametrize(("status", "kind", "code", "message"), NOT_SPENT)
def test_what_only_sounds_like_it_is_not(status: int, kind: str, code: str, message: str) -> None:
    assert not read_fault(status, body(kind, code, message)).spent


@pytest.mark.parametrize(
    "shape",
    [
        b'{"code":30001,"message":"Sorry","data":null}',
        b'{"success":false,"code":500,"msg":"insufficient balance"}',
        b'{"success":false,"message":"user quota is not enough"}',
        b'{"error":"insufficient credits"}',
        b'{"error":{"error":{"message":"insufficient credits","code":402},"code":402}}',
        b'{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}',
        b'{"detail":"Your credit balance is too low"}',
        b'{"error":{"status":"X","message":"Daily limit exceeded"}}',
        b'{"code":"Arrearage","message":"m"}',
        b'"Sorry, your account balance is insufficient"',
        b"insufficient credits",
    ],
)
def test_it_is_recognized_in_every_shape_of_error(shape: bytes) -> None:
    assert read_fault(403, shape).spent


def test_a_page_is_not_searched() -> None:
    assert not read_fault(403, b"<html>insufficient balance").spent


# ---- the reset

TEXTS = [
    ("You will regain access on 2027-01-15 at 08:30 UTC.", 1800),
    ("resets at 2027-01-15T08:20:00Z (2056)", 1200),
    ("resets at 2027-01-15T08:20:00.5+00:00", 1200),
    ("It will reset at 2027-01-15 16:30:00 +0800 CST. Request id: 1", 1800),
    ("Your limit will reset at 2027-01-15 08:20:00", 1200),
    ("\u60a8\u7684\u9650\u989d\u5c06\u5728 2027-01-15 16:10:00 \u91cd\u7f6e", 600),
    ("\u8bf7 3 \u5c0f\u65f6\u540e\u91cd\u8bd5", 10800),
    ("\u8bf7\u6c42\u8fc7\u4e8e\u9891\u7e41, \u8bf7\u7b49\u5f85 30 \u79d2", 30),
    ("Quota renews on Fri, 15 Jan 2027 08:05:00 GMT.", 300),
    ("limit resets at 1800000900", 900),
    ("limit resets at 1800000900000", 900),
    ("Claude AI usage limit reached|1800003600", 3600),
    ("Try again in 3 hours, 17 minutes, 52 seconds.", 11872),
    ("Please try again in 8m38.4s.", 518.4),
    ("Your quota will reset after 1h16m0.5s.", 4560.5),
    ("resets in 3 hours", 10800),
    ("resets in about 2 days and 1 hour", 176400),
    ("Please retry after 6 seconds", 6),
    ("please try again after 1 seconds", 1),
    ("retry in 250ms", 0.25),
    ("Please wait for 20 minutes", 1200),
    ("Too many requests. Retry after: 30", 30),
    ("Resets in 2h 13m.", 7980),
    ("Resets at 10:00 UTC. Top up for unlimited access", 7200),
    ("resets 9am (UTC)", 3600),
    ("resets at 7:30 (UTC)", 84600),
    # in a zone of its own
    ("You've hit your limit \u00b7 resets 2pm (Asia/Tashkent)", 3600),
    ("resets 3pm (America/Los_Angeles)", 54_000),
    ("Your limit will reset at 1pm (Etc/GMT+5).", 36_000),
    ("resets 10:30pm (America/Argentina/Buenos_Aires)", 63_000),
    ("resets Jan 16 at 10am (Europe/Berlin)", 90_000),
    ("resets Jan 18, 9:59pm (utc)", 309_540),
    ("Resets on January 16th, 2027 at 10:00 UTC", 93_600),
    ("resets 16:30 (UTC+8)", 1800),
    ("resets 9am GMT-0300", 14_400),
    ("resets at 2027-01-15 16:30:00 (UTC+8)", 1800),
    ("resets at 2027-01-15 16:30 (Asia/Shanghai)", 1800),
    # none, or not for certain
    ("Your quota will reset when the current 7-day window ends.", 0),
    ("5-hour usage limit reached", 0),
    ("resets 2pm (Mars/Olympus)", 0),
    ("resets 2pm (America/Argentina)", 0),
    ("resets 2pm (../Tashkent)", 0),
    ("resets 2pm", 0),
    ("resets Feb 30 at 10am (UTC)", 0),
    ("resets Jan 14 at 10am (UTC)", 0),
    ("reset at 2020-01-01 00:00:00", 0),
    ("reset at 2027-99-99 99:99:99", 0),
    ("reset at 99:99 UTC", 0),
    ("Please try again later.", 0),
    ("", 0),
]
MEMBERS = [
    ({"error": {"resets_at": 1_800_000_700}}, 700),
    ({"error": {"resets_at": 1_800_000_700_000}}, 700),
    ({"error": {"resetsAt": "1800000700"}}, 700),
    ({"error": {"reset_at": "2027-01-15T08:10:00Z"}}, 600),
    ({"error": {"reset_time": "2027-01-15T08:10:00.519605Z"}}, 600),
    ({"error": {"resets_in_seconds": 444_287}}, 444_287),
    ({"error": {"reset": 1_800_000_300}}, 300),
    ({"error": {"reset_in": "3h"}}, 10_800),
    ({"error": {"reset_in": "in 3 hours"}}, 10_800),
    ({"retry_after": 12.5}, 12.5),
    ({"retry_after_ms": 1500}, 1.5),
    ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": "1800000600000"}}}}, 600),
    ({"error": {"details": [{"@type": "RetryInfo", "retryDelay": "12s"}]}}, 12),
    ({"error": {"details": [{"quotaResetDelay": "1h16m0.667s"}]}}, 4560.667),
    # none, or past
    ({"error": {"resets_at": 1_700_000_000}}, 0),
    ({"error": {"resets_at": None, "reset_in": True, "retry_after": "soon"}}, 0),
    ({"usage": {"limit": 1_800_000_700}}, 0),
]


@pytest.mark.parametrize(("text", "seconds"), TEXTS)
def test_the_reset_that_a_text_names(text: str, seconds: float) -> None:
    assert seconds_to_reset(b"", text, NOW) == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize(("shape", "seconds"), MEMBERS)
def test_the_reset_that_a_member_names(shape: object, seconds: float) -> None:
    made = json.dumps(shape).encode()
    assert seconds_to_reset(made, "", NOW) == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize(
    "junk",
    [
        b"[" * 100_000,
        b'{"a":' * 900 + b'{"resets_at":1}' + b"}" * 900,
        b'{"resets_at":"' + b"9" * 100_000 + b'"}',
        b'{"resets_at":1e999}',
        b"\xff",
        b"null",
    ],
)
def test_a_body_that_makes_no_sense_names_none(junk: bytes) -> None:
    assert seconds_to_reset(junk, "reset in " + "9" * 50_000 + " hours", NOW) == 0.0


@pytest.mark.parametrize(
    ("zone", "now", "seconds"),
    [
        ("UTC", 1_789_948_800.0, 86_400),
        ("UTC", 1_789_948_799.5, 0.5),
        ("America/Los_Angeles", 1_789_948_800.0, 7 * 3600),
        # The night in which clocks are put back has 25 hours: 2026-11-01, from UTC-7 to UTC-8.
        ("America/Los_Angeles", 1_793_516_400.0, 25 * 3600),
        ("No/Such_Zone", 1_789_948_800.0, 86_400),
    ],
)
def test_the_next_midnight_of_a_zone(zone: str, now: float, seconds: float) -> None:
    assert seconds_to_midnight(zone, now) == pytest.approx(seconds)
