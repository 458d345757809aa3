"""Spent quotas and balances, and the reset that a provider names, in the wording of many services.

Which status they send is no help: a spent quota is a 401 (new-api), 402, 403 (Kimi, OpenRouter,
one-api, SiliconFlow), 429 (Z.AI, MiniMax, Ark), 400 (Anthropic, Alibaba) or 500 (MiniMax). So the
error's code and wording decide. Sources: providers reference, sections 8 to 10, and error messages
in public issues of these services and their clients.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from itertools import islice
from zoneinfo import ZoneInfo

import msgspec

from ccrelay.wire.bodies import UNREADABLE, is_dense

# Codes and types, in lower case without separators.
_CODES = frozenset(
    {
        # Anthropic
        "billingerror",
        "enforcedspendlimitreached",
        "contractspendlimitreached",
        # Kimi, OpenAI and its imitators
        "exceededcurrentquotaerror",
        "insufficientbalanceerror",
        "insufficientquota",
        "insufficientbalance",
        "insufficientcredits",
        "insufficientfunds",
        "billinghardlimitreached",
        "billingnotactive",
        "quotaexceeded",
        "freequotaexceeded",
        "usagelimitreached",
        "usagelimitexceeded",
        "spendlimitreached",
        "spendlimitexceeded",
        "creditslimitexceeded",
        "creditsexhausted",
        "outofcredits",
        "budgetexceeded",
        "paymentrequired",
        # one-api, new-api
        "insufficientuserquota",
        "insufficienttokenquota",
        "preconsumetokenquotafailed",
        # Ark, Alibaba
        "accountoverdue",
        "accountoverdueerror",
        "accountquotaexceeded",
        "setlimitexceeded",
        "operationdeniedserviceoverdue",
        "inferencelimitexceeded",
        "arrearage",
        "allocationquota",
        "allocationquotafreetieronly",
        # SiliconFlow: no balance; no paid balance
        "30001",
        "30011",
    }
)
_SEPARATORS = str.maketrans("", "", "_-. ")

# What can be used up, and the words for its being so, in either order. Alone neither means a thing:
# a "quota" is also mentioned, and a "limit" per minute reached, where waiting a moment helps.
_PURSE = (
    r"(?:balance|credits?|funds|quotas?|allowance"
    r"|(?:usage|spend(?:ing)?|key|daily|weekly|monthly|weekly/monthly|free[ -]tier|session"
    r"|hour(?:ly)?|day|plan|billing|cost|api usage)\)?\W{1,3}"
    r"(?:(?:usage|spend(?:ing)?|requests?|tokens?|rate)\W{1,3})?"
    r"(?:limits?|caps?))"
)
_GONE = (
    r"(?:insufficient|not enough|exhausted|depleted|used(?: up)?|exceeded|exceeds?|too low"
    r"|(?:has |have )?run out|ran out|spent|negative|reached|hit|overdrawn|expired)"
)
# Not across a sentence, and not far.
_NEAR = r"(?:[^.!?;]|\.(?=\w)){0,40}?"
_WORDS = re.compile(
    rf"\b{_PURSE}\b{_NEAR}\b{_GONE}\b"
    rf"|\b(?:insufficient|not enough|exhausted|depleted|exceeded|exceeds?|reached|hit|no remaining"
    rf"|no more|out of|ran out of|run out of|used (?:up )?(?:all )?)\b{_NEAR}\b{_PURSE}\b"
    # "Thinking budget exceeded" is about the request.
    r"|(?<!thinking )(?<!reasoning )(?<!context )(?<!token )\bbudget(?: limit)?"
    r"(?: has been| was| is)? (?:exceeded|exhausted|reached)"
    r"|\bexceeded\w{0,20}budget\b|\bover[ -]budget\b"
    rf"|(?:\bnot|n't) have (?:enough|sufficient|any)\b{_NEAR}\b{_PURSE}\b"
    r"|\bno (?:credits?|balance|funds|quota) (?:left|remaining|available)\b"
    r"|\bbalance(?: is)?:? ?[$\u00a5]?0(?:\.0+)?(?![.\d])"
    r"|\binsufficient_\w{0,20}(?:quota|balance|credits)"
    r"|\b(?:more|add|buy|purchase) credits\b"
    r"|\bpayment (?:is )?required\b"
    r"|\b(?:account|bill(?:ing)?|payment)\b.{0,30}\b(?:overdue|arrears)"
    r"|\bunpaid invoices?\b|\b(?:invoice|bill|payment)\b.{0,20}\bpast[ -]due\b"
    r"|\bfair[ -]us(?:e|age) policy\b"
    r"|\barrearage\b|\bgood standing\b|\brecharge your account\b"
    r"|\b(?:subscription|membership|plan|package|trial)\b.{0,30}\b(?:has expired|has ended)\b"
    r"|\bno active (?:subscription|membership|plan)\b|\bsubscription\b.{0,20}\bexpired\b"
    r"|\b(?:requests?|tokens?|models?)[ -]per[ -]day\b|\b[TR]PD\b"
    r"|you've hit your limit",
    re.IGNORECASE,
)
# In Chinese: balance, quota or plan ... insufficient, used up, exceeded, expired; exceeded or
# reached ... quota or limit of use or of today; calls used up; in arrears; please recharge.
_WORDS_CHINESE = re.compile(
    r"(?:\u4f59\u989d|\u989d\u5ea6|\u914d\u989d|\u5957\u9910|\u8d44\u6e90\u5305|\u7528\u91cf"
    r"|\u9650\u989d).{0,12}(?:\u4e0d\u8db3|\u7528\u5c3d|\u7528\u5b8c|\u8017\u5c3d|\u4e0d\u591f"
    r"|\u8d85\u51fa|\u8d85\u8fc7|\u5230\u671f|\u8fc7\u671f|\u4e0a\u9650|\u5931\u8d25)"
    r"|(?:\u8d85\u51fa|\u8d85\u8fc7|\u8fbe\u5230|\u5df2\u8fbe).{0,12}(?:\u989d\u5ea6|\u914d\u989d|\u9650\u989d"
    r"|\u4f7f\u7528\u4e0a\u9650|\u7528\u91cf)"
    r"|\u6b21\u6570.{0,6}(?:\u7528\u5c3d|\u7528\u5b8c|\u8017\u5c3d)"
    r"|\u6b20\u8d39|\u8bf7\u5148?\u5145\u503c|\u5145\u503c\u540e"
)
# A limit of a moment, whatever else is said: these windows are seconds or a minute. In Chinese:
# each minute or second, within minutes or seconds, at once, frequency, speed.
_MOMENTARY = re.compile(
    r"(?:\b(?:per|each|every|an?)[ -]|(?:\d|\breq\w*|\bcalls?|\btokens?) ?/ ?)"
    r"(?:\d{1,2}[ -]?)?(?:minutes?|mins?|seconds?|secs?|s|m)\b"
    r"|\b(?:[TR]P[MS]|QPS)\b|\bconcurren|\brate[ -]limit(?:s|ed|ing)?\b"
    r"|\btoo many requests\b|\busage increase rate\b"
    r"|\u6bcf(?:\u5206\u949f|\u79d2)|(?:\u5206\u949f|\u79d2)\u5185|\u5e76\u53d1|\u9891\u7387|\u901f\u7387",
    re.IGNORECASE,
)
# In Chinese: each or this day, week, month.
_DAILY = re.compile(
    r"\bper[ -]day\b|\b[TR]PD\b|\bdaily\b|\bweekly\b|\bmonthly\b"
    r"|[\u6bcf\u5f53\u672c\u4eca][\u65e5\u5929\u5468\u6708]",
    re.IGNORECASE,
)
# Where an error about the request begins to quote it.
_QUOTED = re.compile(r"input_value|\binput\b\s*[:=]", re.IGNORECASE)
# An error about a member of the request begins with its name, and may go on with the client's text.
_MEMBER = re.compile(
    r"\W?(?:body|messages|tools?|tool_choice|system|model|max_tokens|thinking|metadata|output_config"
    r"|context_management|stop_sequences|temperature)\b"
)
# A limit of bytes is one of requests.
_BYTES = re.compile(r"\d\s?[KM]i?B\b", re.IGNORECASE)
# Of an error about the request only this much is read: the rest may be the request.
_REQUEST_CHARS_MAX = 400
_ABOUT_REQUEST = frozenset({400, 404, 413, 422})


def is_spent(status: int, kind: str, code: str, message: str) -> bool:
    """Whether an error says that a quota or balance is used up: waiting a moment will not help.

    Args:
        status: HTTP status.
        kind: the error's type.
        code: the error's code.
        message: its text.
    """
    if status == 402:
        return True
    for name in (kind, code):
        if name.lower().translate(_SEPARATORS) in _CODES:
            return True
    if status in _ABOUT_REQUEST:
        message = _QUOTED.split(message, maxsplit=1)[0][:_REQUEST_CHARS_MAX]
        if _MEMBER.match(message) or _BYTES.search(message):
            return False
    if _MOMENTARY.search(message) and not _DAILY.search(message):
        return False
    return _WORDS.search(message) is not None or _WORDS_CHINESE.search(message) is not None


# ---- the reset

# Names of members, in lower case without separators.
_INSTANTS = frozenset(
    {
        "reset",
        "resets",
        "resetat",
        "resetsat",
        "resettime",
        "resetstime",
        "resettimestamp",
        "resetdate",
        "quotaresettime",
        "quotaresettimestamp",
        "nextresettime",
        "nextresetat",
        "nextflushtime",
        "availableat",
        "retryat",
        "xratelimitreset",
        "xratelimitresetrequests",
        "xratelimitresettokens",
    }
)
_DURATIONS = frozenset(
    {
        "resetin",
        "resetsin",
        "resetafter",
        "resetinseconds",
        "resetsinseconds",
        "resetafterseconds",
        "quotaresetdelay",
        "retryafter",
        "retryafterseconds",
        "retryafters",
        "retrydelay",
        "retryin",
        "waitseconds",
        "secondsuntilreset",
    }
)
_MILLIS = frozenset({"retryafterms", "resetinms", "resetsinms", "retryaftermillis"})
_DEPTH_MAX = 6
_MEMBERS_MAX = 200

_BEIJING = timezone(timedelta(hours=8))
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Words before a time that make it the reset; in Chinese "at", "on", "until", "reset time".
_BEFORE = re.compile(
    r"\b(?:reset|renew|refresh|regain|restor|avail|retry|try again|resume|recover|unlock|wait)\w*"
    r"|\u5c06\u5728|\u5c06\u4e8e|\u91cd\u7f6e|\u6062\u590d|\u8bf7\u5728|\u8bf7\u4e8e",
    re.IGNORECASE,
)
_AFTER_CHARS = 80
_TRIES_MAX = 8
# "UTC", "UTC+8", "Europe/Berlin"
_ZONE = (
    r"(?i:UTC|GMT)(?:\s?[+-]\d{1,2}(?::?\d\d)?)?(?![\w/])"
    r"|[A-Z][A-Za-z_]{1,20}(?:/[A-Z][\w+-]{1,30}){1,2}"
)
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T|\s+at\s+|\s+)(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?"
    rf"\s*\(?(Z\b|[+-]\d\d:?\d\d|{_ZONE})?"
)
_HTTP_DATE = re.compile(r"(\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d) GMT")
_EPOCH = re.compile(r"(?<![\d.])(1\d{9}(?:\d{3})?)(?![\d.])")
# "3pm (Europe/Berlin)", "Oct 9 at 10am (UTC)", "Oct 9, 2027, 10:30 UTC"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = re.compile(
    rf"(?:\b((?i:{'|'.join(_MONTHS)}))[a-z]*\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+"
    r"(?:(\d{4}),?\s+)?(?:at\s+)?)?"
    rf"\b(\d{{1,2}})(?::(\d\d))?(?::\d\d)?\s*((?i:[ap]m))?\s*\(?({_ZONE})"
)
_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?(\d\d))?\Z")
# "1h16m0.6s", "2h 13m", "3 hours, 17 minutes and 52 seconds"
_SPAN = (
    r"\d{1,9}(?:\.\d{1,9})?\s?(?:ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h"
    r"|days?|d|weeks?|w)(?![a-z])"
)
_SPANS = rf"{_SPAN}(?:(?:\s?,?\s?and\s|\s?,\s?|\s)?{_SPAN}){{0,6}}"
_IN = re.compile(
    rf"\b(?:in|after|for|within|about|wait|delay)\W{{1,3}}(?:about |another )?({_SPANS})",
    re.IGNORECASE,
)
# "Retry after: 30", without a unit.
_BARE = re.compile(
    r"\b(?:retry|try again)[-_ ]?(?:after|in)\W{1,3}(\d{1,6})\b(?!\s*[a-z:-])(?!\.\d)",
    re.IGNORECASE,
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|mil|w|d|h|m|s)", re.IGNORECASE)
_UNIT_S = {"ms": 0.001, "mil": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_WHOLE_SPAN = re.compile(_SPANS, re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,16}(?:\.\d{0,9})?")
# "3 hours later", "wait 3 hours": seconds, minutes, hours, days.
_IN_CHINESE = re.compile(
    r"(\u7b49\u5f85\s*)?(\d{1,9})\s*\u4e2a?(\u79d2|\u5206\u949f|\u5c0f\u65f6|\u5929)"
    r"(?(1)|\s*\u4e4b?\u540e)"
)
_UNIT_CHINESE_S = {"\u79d2": 1.0, "\u5206\u949f": 60.0, "\u5c0f\u65f6": 3600.0, "\u5929": 86400.0}
# "Claude AI usage limit reached|1749924000"
_PIPED = re.compile(r"reached\|(1\d{9})\b")

_EPOCH_S = 1e9
_EPOCH_MS = 1e12

_ANY = msgspec.json.Decoder()


def seconds_to_reset(body: bytes, message: str, now_wall: float) -> float:
    """Seconds until the reset that an error body names, in a member or in its text; 0.0: none.

    Args:
        body: the error's body.
        message: its text.
        now_wall: seconds since 1970.
    """
    for name, value in _members(body):
        seconds = _of_member(name, value, now_wall)
        if seconds > 0.0:
            return seconds
    return _of_text(message, now_wall)


def seconds_to_midnight(zone: str, now_wall: float) -> float:
    """Seconds until the next midnight of a time zone, by its name; of UTC where it is not known.

    `now_wall`: seconds since 1970.
    """
    try:
        now = datetime.fromtimestamp(now_wall, ZoneInfo(zone) if "/" in zone else UTC)
    except (ValueError, KeyError, OSError, OverflowError):
        now = datetime.fromtimestamp(now_wall, UTC)
    # A day may have 23 or 25 hours: both instants are in UTC.
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    return midnight.timestamp() - now_wall


def _members(body: bytes) -> Iterator[tuple[str, object]]:
    """The members of a JSON body that hold numbers or text, the outer ones first."""
    try:
        level: list[object] = [None if is_dense(body) else _ANY.decode(body)]
    except UNREADABLE:
        return
    seen = 0
    for _ in range(_DEPTH_MAX):
        inner: list[object] = []
        for found in level:
            if isinstance(found, list):
                inner += found[:_MEMBERS_MAX]
            elif isinstance(found, dict):
                for name, value in found.items():
                    seen += 1
                    if seen > _MEMBERS_MAX:
                        return
                    if isinstance(value, (dict, list)):
                        inner.append(value)
                    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
                        yield str(name).lower().translate(_SEPARATORS), value
        level = inner


def _of_member(name: str, value: object, now_wall: float) -> float:
    if name in _MILLIS:
        return _seconds(value, now_wall) / 1000
    if name in _DURATIONS or name in _INSTANTS:
        return _seconds(value, now_wall)
    return 0.0


def _seconds(value: object, now_wall: float) -> float:
    """Seconds from now, of a value that is a number of seconds, an instant, or text for either."""
    text = str(value).strip()[:_AFTER_CHARS]
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= _EPOCH_MS:
            return number / 1000 - now_wall
        return number - now_wall if number >= _EPOCH_S else number
    if _WHOLE_SPAN.fullmatch(text):
        return _span_s(text)
    return _instant_s(text, UTC, now_wall) or _span_in(text)


def _of_text(message: str, now_wall: float) -> float:
    zone = _BEIJING if _CHINESE.search(message) else UTC
    if found := _PIPED.search(message):
        return max(float(found[1]) - now_wall, 0.0)
    for before in islice(_BEFORE.finditer(message), _TRIES_MAX):
        after = message[before.start() : before.end() + _AFTER_CHARS]
        seconds = _instant_s(after, zone, now_wall) or _span_in(after)
        if seconds > 0.0:
            return seconds
    if found := _BARE.search(message):
        return float(found[1])
    if found := _IN_CHINESE.search(message):
        return float(found[2]) * _UNIT_CHINESE_S[found[3]]
    return 0.0


def _instant_s(text: str, zone: timezone, now_wall: float) -> float:
    """Seconds until the first instant of a text; 0.0: there is none, or it is past."""
    at = 0.0
    try:
        if found := _STAMP.search(text):
            at = _stamp(found[1], found[2], found[3], zone)
        elif found := _HTTP_DATE.search(text):
            at = datetime.strptime(found[1], "%d %b %Y %H:%M:%S").replace(tzinfo=UTC).timestamp()
        elif found := _EPOCH.search(text):
            at = float(found[1])
            at = at / 1000 if at >= _EPOCH_MS else at
        elif found := _CLOCK.search(text):
            at = _next_clock(found, now_wall)
    except (ValueError, KeyError, OSError, OverflowError):
        return 0.0  # no such time, or no such zone in this system's database
    return max(at - now_wall, 0.0)


def _stamp(day: str, clock: str, zone_name: str | None, zone: timezone) -> float:
    at = datetime.fromisoformat(f"{day}T{clock}")
    return at.replace(tzinfo=zone if zone_name is None else _zone(zone_name)).timestamp()


def _next_clock(found: re.Match[str], now_wall: float) -> float:
    """The next time that a clock shows this, on the day that is named, if one is."""
    month, day, year, clock, minutes, half, zone_name = found.groups()
    hour = int(clock)
    if half:
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    now = datetime.fromtimestamp(now_wall, _zone(zone_name))
    at = now.replace(hour=hour, minute=int(minutes or 0), second=0, microsecond=0)
    if month:
        at = at.replace(
            year=int(year or now.year), month=_MONTHS.index(month.lower()) + 1, day=int(day)
        )
        if not year and now - at > timedelta(days=180):
            at = at.replace(year=now.year + 1)
    elif at <= now:
        at += timedelta(days=1)
    return at.timestamp()


def _zone(name: str) -> tzinfo:
    """A zone by its name or offset.

    Raises:
        ValueError, KeyError, OSError: there is none.
    """
    found = None if "/" in name else _OFFSET.search(name)
    if found is not None:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        return timezone(-offset if found[1] == "-" else offset)
    return ZoneInfo(name) if "/" in name else UTC


def _span_in(text: str) -> float:
    found = _IN.search(text)
    return _span_s(found[1]) if found is not None else 0.0


def _span_s(text: str) -> float:
    return sum(float(number) * _UNIT_S[unit.lower()] for number, unit in _PART.findall(text))
