"""What each provider's failures mean: a table of answers, and what follows from them."""

import json
from collections.abc import Callable

import pytest

from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.upstream import Loss
from ccrelay.config.model import Health, Provider
from ccrelay.providers.base import Dialect
from ccrelay.providers.registry import dialect_for
from ccrelay.providers.zai import MEANING_BY_CODE
from ccrelay.routing import verdict
from ccrelay.routing.verdict import Blame, Verdict

HEALTH = Health(quota_cooldown_s=900.0, key_cooldown_max_s=3600.0)
NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z

Headers = dict[str, str]


def dialect(kind: str) -> Dialect:
    return dialect_for(
        Provider(
            name="p",
            type=kind,  # type: ignore[arg-type]
            base_url="https://relay.example/base",
            auth="bearer",
            models=["*"],
            system_role="keep",
            count_tokens="forward",
            drop_betas=[],
        )
    )


DIALECTS = {kind: dialect(kind) for kind in ("anthropic", "zai", "ollama", "compatible")}


def getter(headers: Headers) -> Callable[[bytes], bytes | None]:
    return {name.encode(): value.encode() for name, value in headers.items()}.get


def judge(
    kind: str, status: int, headers: Headers, body: bytes, *, own_key: bool = True
) -> Verdict:
    return verdict.of_status(
        status, getter(headers), body, DIALECTS[kind], HEALTH, NOW, own_key=own_key
    )


def err(kind: str, message: str = "m", **more: object) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": message, **more}}
    ).encode()


def zai(code: int | str, message: str = "m") -> bytes:
    return json.dumps(
        {"error": {"code": str(code), "message": message}}, ensure_ascii=False
    ).encode()


def plain(message: str, **more: object) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


# What follows: blame, elsewhere, counts, rest, seconds of rest.
ENDPOINT = (Blame.ENDPOINT, True, False, Cooldown.NONE, 0)
UNSURE = (Blame.ENDPOINT, True, None, Cooldown.NONE, 0)
REQUEST = (Blame.REQUEST, False, True, Cooldown.NONE, 0)
MODEL = (Blame.MODEL, True, True, Cooldown.NONE, 0)
SIGNATURE = (Blame.SIGNATURE, False, True, Cooldown.NONE, 0)
REFUSED = (Blame.KEY, True, True, Cooldown.REFUSED, 0)
NO_ACCESS = (Blame.KEY, True, True, Cooldown.NONE, 0)
CROWDED = (Blame.REQUEST, True, None, Cooldown.NONE, 0)


LONG_CONTEXT = "Extra usage is required for long context requests."
TIER = (Blame.REQUEST, True, True, Cooldown.NONE, 0)


def rate(seconds: float) -> tuple[object, ...]:
    return (Blame.KEY, True, None, Cooldown.RATE, seconds)


def window(seconds: float) -> tuple[object, ...]:
    return (Blame.KEY, True, None, Cooldown.QUOTA, seconds)


def spent(seconds: float = 900) -> tuple[object, ...]:
    return (Blame.KEY, True, True, Cooldown.QUOTA, seconds)


UNIFIED = "anthropic-ratelimit-unified-"
BINDING = (
    "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a "
    "different conversation. Remove the block."
)

TABLE: list[tuple[str, int, Headers, bytes, tuple[object, ...]]] = [
    # ---- the endpoint
    ("anthropic", 500, {}, err("api_error"), ENDPOINT),
    ("anthropic", 502, {}, b"<html>bad gateway</html>", ENDPOINT),
    ("anthropic", 503, {"retry-after": "30"}, b"", ENDPOINT),
    ("anthropic", 504, {}, err("timeout_error"), ENDPOINT),
    ("anthropic", 529, {}, err("overloaded_error", "Overloaded"), ENDPOINT),
    ("anthropic", 408, {}, b"", ENDPOINT),
    ("anthropic", 409, {}, err("conflict_error"), UNSURE),
    ("compatible", 599, {}, b"", ENDPOINT),
    # ---- 429
    ("anthropic", 429, {"retry-after": "7"}, err("rate_limit_error"), rate(7)),
    ("anthropic", 429, {"retry-after-ms": "1500"}, err("rate_limit_error"), rate(1.5)),
    ("anthropic", 429, {"retry-after": "86400"}, err("rate_limit_error"), rate(3600)),
    ("anthropic", 429, {"retry-after": "Fri, 15 Jan 2027 08:00:40 GMT"}, b"", rate(40)),
    ("anthropic", 429, {}, err("rate_limit_error"), CROWDED),
    ("anthropic", 429, {"retry-after": "0"}, err("rate_limit_error"), CROWDED),
    ("anthropic", 429, {"retry-after": "-5"}, err("rate_limit_error"), CROWDED),
    ("anthropic", 429, {"retry-after": "nan"}, b"not json", CROWDED),
    (
        "anthropic",
        429,
        {
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:12Z",
        },
        err("rate_limit_error"),
        rate(12),
    ),
    (
        "anthropic",
        429,
        {
            "anthropic-ratelimit-requests-remaining": "3",
            "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:12Z",
        },
        err("rate_limit_error"),
        CROWDED,
    ),
    (
        "compatible",
        429,
        {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30s"},
        plain("slow down", code=429),
        rate(90),
    ),
    (
        "compatible",
        429,
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000600000"},
        plain("Rate limit exceeded: free-models-per-min", code=429),
        rate(600),
    ),
    (
        "anthropic",
        429,
        {UNIFIED + "status": "rejected", UNIFIED + "reset": "1800000900"},
        err("rate_limit_error"),
        window(900),
    ),
    (
        "anthropic",
        429,
        {
            UNIFIED + "status": "rejected",
            UNIFIED + "representative-claim": "seven_day_sonnet",
            UNIFIED + "reset": "1800000900",
            "retry-after": "900",
        },
        err("rate_limit_error"),
        (*CROWDED[:4], 900),  # of the model
    ),
    # ---- quota and balance
    ("anthropic", 402, {}, err("billing_error"), spent()),
    ("anthropic", 402, {}, b"", spent()),
    ("anthropic", 429, {"x-should-retry": "false"}, err("rate_limit_error"), spent()),
    ("anthropic", 429, {"x-should-retry": "true"}, err("rate_limit_error"), CROWDED),
    (
        "anthropic",
        429,
        {"x-should-retry": "false", "retry-after": "1200"},
        err("billing_error"),
        spent(1200),
    ),
    (
        "anthropic",
        429,
        {},
        err("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        spent(),
    ),
    (
        "anthropic",
        429,
        {},
        err("rate_limit_error", details={"error_code": "ramp_limit_exceeded"}),
        CROWDED,
    ),
    (
        "anthropic",
        400,
        {},
        err("invalid_request_error", "Your credit balance is too low to access the API."),
        spent(),
    ),
    (
        "anthropic",
        400,
        {},
        err(
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on "
            "2027-01-15 at 08:30 UTC.",
        ),
        spent(1800),
    ),
    ("compatible", 402, {}, plain("Insufficient Balance", type="unknown_error"), spent()),
    ("compatible", 500, {}, err("api_error", "insufficient balance (1008)"), spent()),
    (
        "compatible",
        403,
        {},
        plain("Your account exceeded current quota", type="exceeded_current_quota_error"),
        spent(),
    ),
    ("ollama", 429, {}, plain("you have reached your session usage limit"), spent()),
    # ---- quota and balance, whatever the status
    (
        "compatible",
        403,
        {},
        err("permission_error", "You've reached your usage limit for this billing cycle."),
        spent(),
    ),
    ("compatible", 403, {}, plain("Key limit exceeded (daily limit).", code=403), spent()),
    (
        "compatible",
        401,
        {},
        plain("user quota is not enough", code="insufficient_user_quota"),
        spent(),
    ),
    (
        "compatible",
        403,
        {},
        json.dumps({"code": 30001, "message": "x", "data": None}).encode(),
        spent(),
    ),
    ("compatible", 403, {}, b"insufficient credits", spent()),
    (
        "compatible",
        429,
        {},
        err(
            "rate_limit_error",
            "usage limit exceeded, 5-hour usage limit reached for Token Plan, "
            "resets at 2027-01-15T08:20:00Z (2056)",
        ),
        spent(1200),
    ),
    (
        "compatible",
        429,
        {},
        plain(
            "You have exceeded the 5-hour usage quota. It will reset at "
            "2027-01-15 16:30:00 +0800 CST",
            code="AccountQuotaExceeded",
        ),
        spent(1800),
    ),
    (
        "compatible",
        429,
        {"retry-after": "60"},
        plain("limit", type="usage_limit_reached", resets_at=1_800_000_700),
        spent(700),
    ),
    ("compatible", 429, {"retry-after": "60"}, plain("m", type="usage_limit_reached"), spent(60)),
    ("compatible", 500, {}, plain("quota exhausted, resets in 45 minutes"), spent(2700)),
    (
        "compatible",
        402,
        {},
        plain("Free quota used (30 requests / 5h). Resets at 8:10 UTC."),
        spent(600),
    ),
    # ---- a 429 that names its time in the body only
    ("compatible", 429, {}, plain("max RPM: 3, please try again after 1 seconds"), rate(1)),
    ("compatible", 429, {}, plain("slow", retry_after_ms=1500), rate(1.5)),
    ("compatible", 429, {}, plain("TPM limit reached, try again in 1m2.5s"), rate(62.5)),
    # ---- a long context that the account does not include
    ("anthropic", 429, {}, err("rate_limit_error", LONG_CONTEXT), TIER),
    ("anthropic", 429, {"retry-after": "300"}, err("rate_limit_error", LONG_CONTEXT), TIER),
    ("anthropic", 429, {"x-should-retry": "false"}, err("rate_limit_error", LONG_CONTEXT), TIER),
    (
        "anthropic",
        400,
        {},
        err(
            "invalid_request_error",
            "The long context beta is not yet available for this subscription.",
        ),
        TIER,
    ),
    ("anthropic", 429, {}, err("rate_limit_error", "You're out of extra usage."), TIER),
    (
        "anthropic",
        429,
        {UNIFIED + "status": "rejected", UNIFIED + "reset": "1800000900"},
        err("rate_limit_error", "You're out of extra usage."),
        window(900),
    ),
    # ---- the key
    ("anthropic", 401, {}, err("authentication_error", "invalid x-api-key"), REFUSED),
    ("anthropic", 401, {}, b"", REFUSED),
    ("anthropic", 401, {}, b"Unauthorized", REFUSED),
    ("anthropic", 401, {}, b"<html>Sign in to the network</html>", UNSURE),
    ("compatible", 401, {}, plain("Could not validate credentials"), REFUSED),
    ("compatible", 401, {}, plain("Invalid API key. Check it and try again."), REFUSED),
    ("compatible", 403, {}, plain("Your account is temporarily suspended", type="x"), REFUSED),
    # ---- no verdict on the key: where the request comes from
    ("anthropic", 403, {}, plain("Request not allowed", type="forbidden"), UNSURE),
    (
        "compatible",
        403,
        {},
        plain("Country, region, or territory not supported", code="unsupported_country_region"),
        UNSURE,
    ),
    (
        "compatible",
        403,
        {},
        plain("key(abc) allowed only from approved IP ranges", type="x"),
        UNSURE,
    ),
    (
        "compatible",
        403,
        {},
        plain("currently only available for Coding Agents", type="access_terminated_error"),
        UNSURE,
    ),
    # ---- no verdict on the key: it could not be checked
    (
        "anthropic",
        401,
        {},
        err("authentication_error", "Authentication service is temporarily unavailable."),
        ENDPOINT,
    ),
    ("anthropic", 403, {}, err("permission_error", "Internal error. Try again later."), ENDPOINT),
    ("compatible", 401, {}, plain("token check: database connection refused", type="x"), ENDPOINT),
    ("compatible", 401, {}, plain("auth request timed out", type="x"), ENDPOINT),
    (
        "compatible",
        403,
        {},
        err("permission_error", "We're unable to verify your membership benefits at this time."),
        ENDPOINT,
    ),
    ("compatible", 401, {}, plain("Authentication Error, No connected db.", type="x"), ENDPOINT),
    ("compatible", 401, {}, plain("get token: context deadline exceeded", type="x"), ENDPOINT),
    ("compatible", 403, {}, plain("Could not check your key right now", type="x"), ENDPOINT),
    (
        "compatible",
        401,
        {},
        plain("\u9274\u6743\u670d\u52a1\u5f02\u5e38\uff0c\u8bf7\u7a0d\u540e\u91cd\u8bd5", type="x"),
        ENDPOINT,
    ),
    # ... and of it, where the check has an outcome
    ("compatible", 401, {}, plain("API key not found in database", type="x"), REFUSED),
    ("compatible", 401, {}, plain("Unknown key: it is not in our DB", type="x"), REFUSED),
    (
        "compatible",
        401,
        {},
        plain("\u8be5\u4ee4\u724c\u72b6\u6001\u4e0d\u53ef\u7528", type="new_api_error"),
        REFUSED,
    ),
    ("compatible", 401, {}, plain("The temporary key has expired", type="x"), REFUSED),
    ("compatible", 401, {}, plain("\u65e0\u6548\u7684\u4ee4\u724c", type="x"), REFUSED),
    (
        "anthropic",
        400,
        {},
        err("invalid_request_error", "This organization has been disabled."),
        REFUSED,
    ),
    ("compatible", 400, {}, plain("Incorrect API key provided: xa***yz.", type="x"), REFUSED),
    (
        "compatible",
        400,
        {},
        plain("API key not valid. Please pass a valid one.", code=400),
        REFUSED,
    ),
    ("compatible", 400, {}, plain("messages.0: 'your account is disabled'", type="x"), REQUEST),
    ("compatible", 403, {}, plain("Not offered in your area (geofenced)", type="x"), UNSURE),
    ("compatible", 403, {}, plain("Access through a VPN is not allowed", type="x"), UNSURE),
    ("compatible", 403, {}, plain("Restricted to Claude Code clients", type="x"), UNSURE),
    ("anthropic", 401, {}, plain("only authorized for use with Claude Code", type="x"), UNSURE),
    ("anthropic", 403, {}, err("permission_error", "not allowed"), REFUSED),
    ("anthropic", 403, {}, b"<html>blocked</html>", UNSURE),
    ("anthropic", 403, {}, err("permission_error", "No access to this model."), NO_ACCESS),
    ("compatible", 403, {}, plain("The model's moderation flagged it", code=403), REQUEST),
    # ---- the request
    ("anthropic", 400, {}, err("invalid_request_error", "prompt is too long: 9 > 8"), REQUEST),
    ("anthropic", 400, {}, b"", UNSURE),
    ("anthropic", 413, {}, b"", UNSURE),
    ("anthropic", 422, {}, plain("m"), REQUEST),
    ("anthropic", 404, {}, err("not_found_error", "Not Found"), REQUEST),
    ("anthropic", 404, {}, b"404 page not found", ENDPOINT),
    ("anthropic", 400, {}, err("invalid_request_error", "model: Field required"), REQUEST),
    # ---- the model
    ("anthropic", 404, {}, err("not_found_error", "model: claude-x-9"), MODEL),
    ("ollama", 404, {}, err("not_found_error", "model 'qwen:7b' not found"), MODEL),
    ("ollama", 404, {}, plain('model "qwen" not found, try pulling it first'), MODEL),
    ("compatible", 400, {}, plain("a/b is not a valid model ID", code=400), MODEL),
    ("compatible", 404, {}, plain("No endpoints found for a/b.", code=404), MODEL),
    ("compatible", 400, {}, plain("Model Not Exist", type="invalid_request_error"), MODEL),
    (
        "compatible",
        404,
        {},
        plain("Not found the model k2 or Permission denied", type="resource_not_found_error"),
        MODEL,
    ),
    ("compatible", 404, {}, plain("The model `x` does not exist", code="model_not_found"), MODEL),
    ("compatible", 404, {}, plain("Unknown path for a model", type="error"), ENDPOINT),
    # ---- this key lacks the model, another one may not
    (
        "compatible",
        403,
        {},
        plain(
            "\u8be5\u4ee4\u724c\u65e0\u6743\u8bbf\u95ee\u6a21\u578b claude-x", type="new_api_error"
        ),
        NO_ACCESS,
    ),
    (
        "compatible",
        404,
        {},
        plain("Your account has not activated the model x.", type="NotFound", code="ModelNotOpen"),
        NO_ACCESS,
    ),
    (
        "compatible",
        503,
        {},
        plain("No available channel for model m under group default", code="model_not_found"),
        NO_ACCESS,
    ),
    (
        "compatible",
        503,
        {},
        plain(
            "\u5f53\u524d\u5206\u7ec4 a: \u6a21\u578b m \u65e0\u53ef\u7528\u6e20\u9053",
            type="one_api_error",
        ),
        NO_ACCESS,
    ),
    (
        "compatible",
        500,
        {},
        err("api_error", "your current token plan not support model, M3-highspeed (2061)"),
        NO_ACCESS,
    ),
    ("compatible", 500, {}, err("api_error", "the model crashed"), ENDPOINT),
    # ---- instants in a body, too, are read by the answer's date: here an hour behind and ahead
    (
        "compatible",
        429,
        {"date": "Fri, 15 Jan 2027 07:00:00 GMT"},
        plain("usage limit reached", resets_at="2027-01-15T07:05:00Z"),
        spent(300),
    ),
    (
        "compatible",
        429,
        {"date": "Fri, 15 Jan 2027 09:00:00 GMT"},
        plain("slow down", resets_at="2027-01-15T09:00:05Z"),
        rate(5),
    ),
    (
        "zai",
        429,
        {"date": "Fri, 15 Jan 2027 09:00:00 GMT"},
        zai(1308, "Your limit will reset at 2027-01-15 17:01:00"),
        spent(60),
    ),
    # ---- signatures
    ("anthropic", 400, {}, err("invalid_request_error", BINDING), SIGNATURE),
    (
        "anthropic",
        400,
        {},
        err("invalid_request_error", "messages.3.content.0: invalid signature in thinking block"),
        SIGNATURE,
    ),
    (
        "anthropic",
        400,
        {},
        err("invalid_request_error", "messages.1.content.0.thinking.signature: Field required"),
        SIGNATURE,
    ),
    (
        "anthropic",
        400,
        {},
        err(
            "invalid_request_error",
            "messages.5.content.1: `thinking` or `redacted_thinking` blocks in the latest "
            "assistant message cannot be modified.",
        ),
        SIGNATURE,
    ),
    (
        "anthropic",
        400,
        {},
        err(
            "invalid_request_error",
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            "`tool_use`.",
        ),
        SIGNATURE,
    ),
    (
        "compatible",
        400,
        {},
        plain("Provider returned error", code=400, metadata={"raw": err("x", BINDING).decode()}),
        SIGNATURE,
    ),
    ("anthropic", 400, {}, err("invalid_request_error", "Invalid signature of a file"), REQUEST),
    (
        "anthropic",
        400,
        {},
        err("invalid_request_error", "adaptive thinking is not supported on this model"),
        REQUEST,
    ),
    ("compatible", 400, {}, plain("content[].thinking must be passed back"), REQUEST),
    ("anthropic", 500, {}, err("api_error", BINDING), ENDPOINT),
    # ---- Z.AI: the code decides
    ("zai", 429, {}, zai(1302), CROWDED),
    ("zai", 429, {"retry-after": "3"}, zai(1302), rate(3)),
    ("zai", 429, {}, zai(1305), ENDPOINT),
    ("zai", 429, {}, zai(1312), ENDPOINT),
    ("zai", 429, {}, zai(1113), spent()),
    ("zai", 429, {}, zai(1304), spent()),
    ("zai", 429, {}, zai(1309), spent()),
    (
        "zai",
        429,
        {},
        zai(1308, "Usage limit reached for 5 hour. Your limit will reset at 2027-01-15 16:20:00"),
        spent(1200),
    ),
    (
        "zai",
        429,
        {},
        zai(1310, "\u60a8\u7684\u9650\u989d\u5c06\u5728 2027-01-20 07:41:44 \u91cd\u7f6e\u3002"),
        spent(3600),
    ),
    ("zai", 429, {}, zai(1308, "Your limit will reset at 2027-01-15 15:59:00"), spent()),
    ("zai", 429, {}, zai(1308, "Your limit will reset at 2027-99-99 99:99:99"), spent()),
    ("zai", 429, {}, zai(1319, "Your limit will reset at 2027-01-15 16:01:00"), spent(60)),
    ("zai", 429, {}, zai(1999), CROWDED),
    ("zai", 429, {}, err("1113", "Insufficient balance or no resource package."), spent()),
    ("zai", 429, {}, err("rate_limit_error", "[1302][High concurrency]"), CROWDED),
    ("zai", 401, {}, zai(1000), REFUSED),
    ("zai", 400, {}, zai(1002), REFUSED),
    ("zai", 400, {}, zai(1211), MODEL),
    ("zai", 429, {}, zai(1311), MODEL),
    ("zai", 404, {}, zai(1222), REQUEST),
    ("zai", 400, {}, zai(1261), REQUEST),
    ("zai", 400, {}, zai(1301), REQUEST),
    ("zai", 200, {}, zai(1302), (Blame.NONE, False, True, Cooldown.NONE, 0)),
    ("zai", 500, {}, zai(1234), ENDPOINT),
    ("zai", 500, {}, b"", ENDPOINT),
    ("zai", 435, {}, b"", REQUEST),
]


@pytest.mark.parametrize(("kind", "status", "headers", "body", "expected"), TABLE)
def test_each_answer_has_the_verdict_of_the_table(
    kind: str, status: int, headers: Headers, body: bytes, expected: tuple[object, ...]
) -> None:
    got = judge(kind, status, headers, body)
    shape = (
        got.blame,
        got.elsewhere,
        got.counts,
        got.cooldown_reason,
        pytest.approx(got.cooldown_s),
    )
    assert shape == expected, got
    assert got.reason


@pytest.mark.parametrize("code", MEANING_BY_CODE)
def test_every_code_of_zai_is_judged_as_its_meaning_is(code: int) -> None:
    meaning = MEANING_BY_CODE[code]
    got = judge("zai", 429, {}, zai(code))
    if meaning.status in (400, 413):
        assert got.blame is Blame.REQUEST
        assert not got.elsewhere
    elif meaning.status in (401, 403):
        assert got.cooldown_reason is Cooldown.REFUSED
    elif meaning.retry:
        assert got.elsewhere
        assert got.cooldown_reason is Cooldown.NONE, "no code of a passing state rests a key"
    elif meaning.status != 404:
        assert got.cooldown_reason is Cooldown.QUOTA


# ---- the client's own credential


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_the_clients_own_credential_is_passed_on(status: int) -> None:
    got = judge("anthropic", status, {}, err("authentication_error"), own_key=False)
    assert not got.elsewhere
    assert got.cooldown_reason is Cooldown.NONE


@pytest.mark.parametrize(
    ("status", "headers"),
    [(429, {"retry-after": "7"}), (402, {}), (429, {"x-should-retry": "false"})],
)
def test_limits_of_client_credentials_start_no_cooldown(status: int, headers: Headers) -> None:
    got = judge("anthropic", status, headers, err("rate_limit_error"), own_key=False)
    assert got.elsewhere
    assert got.cooldown_reason is Cooldown.NONE
    assert got.cooldown_s == 0


# ---- which error the client is shown


def test_error_priorities_follow_what_a_client_can_use() -> None:
    worst_first = [
        judge("anthropic", 401, {}, b""),
        judge("anthropic", 404, {}, err("not_found_error", "model: m")),
        judge("anthropic", 402, {}, b""),
        verdict.of_connect(),
        judge("anthropic", 500, {}, b""),
        judge("anthropic", 429, {}, b""),
        judge("anthropic", 429, {}, err("rate_limit_error", LONG_CONTEXT)),
        judge("anthropic", 529, {}, b""),
        judge("anthropic", 429, {"retry-after": "9"}, b""),
        judge("anthropic", 400, {}, err("invalid_request_error")),
    ]
    ranks = [int(each.priority) for each in worst_first]
    assert ranks == sorted(set(ranks))


# ---- events inside a 200


EVENTS = [
    ("anthropic", err("overloaded_error", "Overloaded"), 529, ENDPOINT),
    ("anthropic", err("rate_limit_error"), 429, CROWDED),
    ("anthropic", err("api_error"), 500, ENDPOINT),
    ("anthropic", err("timeout_error"), 504, ENDPOINT),
    ("anthropic", err("invalid_request_error"), 400, REQUEST),
    ("anthropic", err("invalid_request_error", BINDING), 400, SIGNATURE),
    ("anthropic", err("not_found_error", "model: m"), 404, MODEL),
    ("anthropic", err("authentication_error"), 401, REFUSED),
    ("anthropic", err("billing_error"), 402, spent()),
    ("anthropic", err("brand_new_error"), 500, ENDPOINT),
    ("anthropic", b"\xff garbage", 500, ENDPOINT),
    ("compatible", plain("upstream", code=502), 502, ENDPOINT),
    ("zai", err("rate_limit_error", "[1302][High concurrency]"), 429, CROWDED),
    ("zai", zai(1302), 429, CROWDED),
    ("zai", zai(1305), 529, ENDPOINT),
    ("zai", zai(1113), 402, spent()),
    ("zai", zai(4242), 500, ENDPOINT),
    ("zai", err("overloaded_error"), 529, ENDPOINT),
]


@pytest.mark.parametrize(("kind", "data", "status", "expected"), EVENTS)
def test_an_error_event_means_what_the_same_answer_would(
    kind: str, data: bytes, status: int, expected: tuple[object, ...]
) -> None:
    spoken = DIALECTS[kind]
    got = verdict.of_event(data, getter({}), spoken, HEALTH, NOW, own_key=True)
    shape = (got.blame, got.elsewhere, got.counts, got.cooldown_reason, got.cooldown_s)
    assert shape == expected
    assert verdict.as_http(data, spoken) == (status, data)


def test_headers_of_the_200_set_the_cooldown() -> None:
    got = verdict.of_event(
        err("rate_limit_error"),
        getter({"retry-after": "4"}),
        DIALECTS["anthropic"],
        HEALTH,
        NOW,
        own_key=True,
    )
    assert (got.cooldown_reason, got.cooldown_s) == (Cooldown.RATE, 4)


# ---- connections


@pytest.mark.parametrize("loss", list(Loss))
def test_every_loss_is_the_endpoints_and_goes_elsewhere_while_there_is_time(loss: Loss) -> None:
    got = verdict.of_loss(int(loss))
    assert got.blame is Blame.ENDPOINT
    assert got.elsewhere is (loss is not Loss.TOTAL)
    assert got.counts is (None if loss in (Loss.TOO_BIG, Loss.TOTAL) else False)
    assert got.cooldown_reason is Cooldown.NONE
    assert got.reason == loss.name.lower()


def test_a_connect_error_is_the_endpoints() -> None:
    got = verdict.of_connect()
    assert (got.blame, got.elsewhere, got.counts) == (Blame.ENDPOINT, True, False)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"error":' * 5000,
        b'{"error":null}',
        b'{"error":{"type":[],"code":{},"message":7,"details":"x"}}',
        b'{"error":{"code":true,"message":"' + b"model " * 20_000 + b'"}}',
        b'{"error":{"type":"x","code":' + b"9" * 5000 + b"}}",
        b"null",
        b"\x00\xff",
    ],
)
@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_a_body_that_makes_no_sense_is_judged_by_its_status(
    kind: str, status: int, body: bytes
) -> None:
    got = judge(kind, status, {}, body)
    # What has a code, a type or a message is an API's error; anything else a server's before it.
    is_api = status == 400 and (b'"details"' in body or b"model model" in body)
    assert got.elsewhere is not is_api
    assert got.cooldown_s == 0


# ---- a time that is waited for


@pytest.mark.parametrize(
    ("status", "headers", "body", "timed"),
    [
        (429, {"retry-after": "7"}, err("rate_limit_error"), True),
        (429, {}, plain("try again in 5 s"), True),
        (429, {}, plain("usage limit reached, resets in 5 s"), True),
        (429, {}, err("rate_limit_error"), False),
        (429, {"retry-after": "86400"}, err("rate_limit_error"), False),  # cut to an hour
        (429, {"x-should-retry": "false"}, err("rate_limit_error"), False),
        (402, {"retry-after": "1"}, err("billing_error"), False),
        (403, {}, plain("usage limit reached, resets in 5 s"), False),
        (529, {"retry-after": "1"}, err("overloaded_error"), False),
    ],
)
def test_only_a_429_that_names_its_time_is_waited_for(
    status: int, headers: Headers, body: bytes, timed: bool
) -> None:
    assert judge("compatible", status, headers, body).timed is timed
    assert not judge("compatible", status, headers, body, own_key=False).timed


# ---- 4xx that no API has sent


PAGE = b"<html><head><title>404 Not Found</title></head><body>nginx</body></html>"


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, PAGE, "no_route"),
        (404, b"404 page not found\n", "no_route"),
        (404, b"", "no_route"),
        (404, b'{"detail":"Not Found"}', "no_route"),
        (404, b'{"message":"Not Found"}', "no_route"),
        (
            404,
            b'{"statusCode":404,"message":"Cannot POST /v1/messages"}',
            "no_route",
        ),
        (
            404,
            b'{"timestamp":1,"status":404,"error":"Not Found","path":"/v1/messages"}',
            "no_route",
        ),
        (
            404,
            b'{"error":{"message":"Unknown request URL: POST /v1/messages",'
            b'"type":"invalid_request_error"}}',
            "no_route",
        ),
        (405, PAGE, "no_route"),
        (405, b'{"detail":"Method Not Allowed"}', "no_route"),
        (
            404,
            b'{"type":"https://tools.ietf.org/html/rfc9110#section-15.5.5","title":"Not Found"}',
            "no_route",
        ),
        (405, b'{"type":"about:blank","title":"Method Not Allowed","status":405}', "no_route"),
        (
            400,
            b"<html>The plain HTTP request was sent to HTTPS port</html>",
            "blocked",
        ),
        (400, b"Client sent an HTTP request to an HTTPS server.\n", "blocked"),
        (413, b"<html><h1>413 Request Entity Too Large</h1></html>", "blocked"),
        (413, b"", "blocked"),
        (413, b'{"detail":"Request Entity Too Large"}', "blocked"),
        (413, b'{"message":"Request size limit exceeded"}', "blocked"),
        (415, PAGE, "blocked"),
        (422, b'{"detail":[{"loc":["body","x"],"msg":"extra"}]}', "blocked"),
        (451, PAGE, "blocked"),
    ],
)
def test_a_4xx_without_an_api_error_is_about_the_provider(
    kind: str, status: int, body: bytes, reason: str
) -> None:
    found = judge(kind, status, {}, body)
    assert (found.blame, found.elsewhere, found.reason) == (Blame.ENDPOINT, True, reason)
    assert found.cooldown_reason == Cooldown.NONE


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, err("invalid_request_error")),
        (404, err("not_found_error", "Container not found: c_1")),
        (413, err("request_too_large")),
        (422, b'{"error":{"message":"bad","type":"invalid_request_error"}}'),
    ],
)
def test_a_4xx_with_an_api_error_is_about_the_request(status: int, body: bytes) -> None:
    found = judge("anthropic", status, {}, body)
    assert (found.blame, found.elsewhere) == (Blame.REQUEST, False)
