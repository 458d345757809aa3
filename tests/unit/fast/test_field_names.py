"""Names and families of names: their ids, and what passes in which direction."""

import time

import pytest

from ccrelay._fast.field_names import id_of_name
from ccrelay._fast.head_writer import Framing, RequestPlan, render_response
from ccrelay._fast.http1 import FieldId, parse_request, parse_response

PLAN = RequestPlan(prefix=b"", host=b"upstream.example", lines=[])
PASS_THROUGH = RequestPlan(prefix=b"", host=b"upstream.example", lines=[], pass_credentials=True)

FORWARDING = """
    Forwarded forwarded-for Via X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port
    X-Forwarded-Prefix X-Forwarded-Client-Cert X-Forwarded X-Real-IP X-Client-IP X-ClientIP
    Client-IP True-Client-IP CF-Connecting-IP CF-Ray Fastly-Client-IP X-Cluster-Client-IP
    X-Originating-IP X-Azure-ClientIP X-AppEngine-User-IP WL-Proxy-Client-IP Remote-Addr
    X-Scheme Front-End-Https CDN-Loop Max-Forwards
"""
CREDENTIALS = """
    Authorization X-Api-Key Api-Key ApiKey X-Goog-Api-Key X-Auth-Token X-Access-Token Private-Token
    X-Vault-Token X-CSRF-Token X-Amz-Security-Token X-Amz-Date X-Goog-User-Project
    Ocp-Apim-Subscription-Key Helicone-Auth X-Portkey-Api-Key X-Original-Authorization Cookie
    Cookie2 Remote-User X-Remote-User X-Auth-Request-Email X-MS-Client-Principal
    X-SSL-Client-Cert Client-Cert X-Client-Secret X-Password Proxy-Authorization DPoP
"""
# What servers, and proxies before us, act upon: in either direction.
OVERRIDES = """
    X-Original-URL X-Rewrite-URL X-Original-Host X-Original-URI X-Host X-HTTP-Host-Override
    X-HTTP-Method-Override X-HTTP-Method X-Method-Override Proxy X-Middleware-Subrequest
    X-Envoy-Original-Path X-Accel-Redirect X-Accel-Mapping X-Accel-Buffering X-Sendfile
    X-Sendfile-Type X-LIGHTTPD-send-file X-LiteSpeed-Location X-Reproxy-URL Surrogate-Control
    CDN-Cache-Control Cloudflare-CDN-Cache-Control
"""
# What clients, browsers above all, act upon.
ANSWERS = """
    Location Content-Location Refresh Link URI Operation-Location HX-Redirect Set-Cookie Set-Cookie2
    Set-Login Alt-Svc Strict-Transport-Security Public-Key-Pins Expect-CT Clear-Site-Data
    Access-Control-Allow-Origin Access-Control-Allow-Credentials Access-Control-Anything-New
    Content-Security-Policy Content-Security-Policy-Report-Only Cross-Origin-Opener-Policy
    Permissions-Policy Referrer-Policy NEL Report-To Reporting-Endpoints SourceMap X-SourceMap
    Service-Worker-Allowed Speculation-Rules Origin-Agent-Cluster Origin-Trial Accept-CH
    Timing-Allow-Origin WWW-Authenticate Proxy-Authenticate Authentication-Info
    Sec-Session-Registration X-CCRelay-Provider X-CCRelay-Anything Proxy-Status
"""
HOPS = "Connection Keep-Alive TE Trailer Upgrade HTTP2-Settings Early-Data Proxy-Connection"
FROM_BROWSERS = "Origin Referer Sec-Fetch-Site Sec-CH-UA Access-Control-Request-Method DNT"
OURS = "X-CCRelay-Debug Accept-Encoding Expect"
CONDITIONS = "If-None-Match If-Modified-Since"
PASS = """
    anthropic-version anthropic-workspace-id anthropic-some-token X-Stainless-Lang X-App
    x-claude-code-prompt-id X-Claude-1P-Request-Class x-client-request-id idempotency-key
    traceparent baggage User-Agent Content-Type Accept HTTP-Referer X-Title X-Request-Id If-Match
    Cache-Control Range x-forwar x-real X-Session-Id
"""
ANSWERS_PASS = """
    Date Server Content-Type Content-Encoding Content-Disposition request-id retry-after
    x-should-retry anthropic-ratelimit-unified-status anthropic-ratelimit-tokens-reset
    x-ratelimit-limit-tokens cf-ray Via x-amzn-requestid x-ms-request-id Cache-Control ETag Vary
    X-Content-Type-Options Server-Timing openai-processing-ms
"""


def sent(name: str, plan: RequestPlan = PLAN) -> bool:
    """Whether a request field of this name goes upstream."""
    raw = f"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n{name}: x\r\nX-B: 1\r\n\r\n"
    parsed = parse_request(raw.encode())
    assert parsed is not None
    lines = plan.render(parsed[0], -1, False, b"/v1/messages").split(b"\r\n")
    assert {b"X-A: 1", b"X-B: 1"} <= set(lines)
    return f"{name}: x".encode() in lines


def answered(name: str) -> bool:
    """Whether a response field of this name goes to the client."""
    parsed = parse_response(f"HTTP/1.1 200 OK\r\nX-A: 1\r\n{name}: x\r\nX-B: 1\r\n\r\n".encode())
    assert parsed is not None
    lines = render_response(parsed[0], Framing.KEEP).split(b"\r\n")
    assert lines[1] == b"X-A: 1"
    assert b"X-B: 1" in lines
    return f"{name}: x".encode() in lines


NOT_SENT = " ".join((FORWARDING, CREDENTIALS, OVERRIDES, HOPS, FROM_BROWSERS, CONDITIONS, OURS))


@pytest.mark.parametrize("name", NOT_SENT.split())
def test_what_is_not_the_providers_business_is_not_sent(name: str) -> None:
    for spelt in (name, name.lower(), name.upper(), name.replace("-", "_"), name.swapcase()):
        assert not sent(spelt)


@pytest.mark.parametrize("name", (ANSWERS + OVERRIDES).split())
def test_what_would_act_upon_the_client_or_a_proxy_is_not_answered(name: str) -> None:
    for spelt in (name, name.lower(), name.upper(), name.replace("-", "_"), name.replace("-", ".")):
        assert not answered(spelt)


@pytest.mark.parametrize("name", PASS.split())
def test_every_other_request_field_is_sent(name: str) -> None:
    assert sent(name)
    assert sent(name.lower())


@pytest.mark.parametrize("name", ANSWERS_PASS.split())
def test_every_other_response_field_is_answered(name: str) -> None:
    assert answered(name)
    assert answered(name.upper())


@pytest.mark.parametrize("name", CREDENTIALS.split())
def test_pass_through_lets_two_credentials_pass_as_they_are_spelt(name: str) -> None:
    assert sent(name, PASS_THROUGH) == (name in ("Authorization", "X-Api-Key"))
    assert not sent(name.replace("-", "_"), PASS_THROUGH) or "-" not in name


@pytest.mark.parametrize("mark", list("!#$%&'*+.^_`|~"))
def test_punctuation_makes_no_other_name(mark: str) -> None:
    assert id_of_name(f"x{mark}api{mark}key".encode()) == FieldId.F_ALIAS
    assert id_of_name(f"X-Forwarded{mark}For".encode()) == FieldId.F_ALIAS
    assert id_of_name(f"x{mark}custom".encode()) == FieldId.F_OTHER
    assert not sent(f"transfer{mark}encoding")
    assert sent(f"x{mark}custom")


def test_an_odd_spelling_is_never_acted_upon() -> None:
    raw = (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n"
        b"x_api_key: test-key-1\r\nContent_Encoding: gzip\r\n\r\n"
    )
    parsed = parse_request(raw)
    assert parsed is not None
    head = parsed[0]
    assert (head.content_length, head.chunked) == (-1, False)
    assert head.value(FieldId.F_X_API_KEY) is None
    assert head.value(FieldId.F_CONTENT_ENCODING) is None


def test_an_odd_name_that_is_too_long_to_compare_is_dropped() -> None:
    assert id_of_name(b"x_" + b"a" * 62) == FieldId.F_OTHER
    assert id_of_name(b"x_" + b"a" * 63) == FieldId.F_ALIAS
    assert id_of_name(b"x-" + b"a" * 1000) == FieldId.F_OTHER


def test_names_of_one_letter_and_of_none_are_nobodys() -> None:
    for name in (b"", b"x", b"x-", b"-", b"a-b", b"_"):
        assert id_of_name(name) == FieldId.F_OTHER


def test_dropped_names_are_compared_without_punctuation() -> None:
    plan = RequestPlan(
        prefix=b"",
        host=b"h",
        lines=[(b"X-Static", b"1")],
        drop_names=[b"x_custom", b"cache-control"],
    )
    for name in ("X-Custom", "x_custom", "X.Custom", "x_static", "Cache-Control", "cache_control"):
        assert not sent(name, plan)
    assert sent("X-Customs", plan)


def test_a_static_header_may_be_of_a_dropped_family() -> None:
    plan = RequestPlan(prefix=b"", host=b"h", lines=[(b"X-Goog-User-Project", b"p-1")])
    parsed = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nx-goog-user-project: theirs\r\n\r\n")
    assert parsed is not None
    written = plan.render(parsed[0], -1, False, b"/v1/messages")
    assert b"X-Goog-User-Project: p-1\r\n" in written
    assert b"theirs" not in written


# ---- Connection


def nominating(value: bytes, *names: bytes) -> bytes:
    lines = b"".join(b"%b: 1\r\n" % name for name in names)
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: %b\r\n%b\r\n" % (value, lines)
    parsed = parse_request(raw, fields_max=256)
    assert parsed is not None
    return PLAN.render(parsed[0], -1, False, b"/v1/messages")


def test_fields_that_connection_names_are_dropped() -> None:
    written = nominating(
        b"close, x-hop,X-TWICE , absent", b"X-Hop", b"x-twice", b"X-Kept", b"X-Twice"
    )
    assert [line for line in written.split(b"\r\n") if line.endswith(b": 1")] == [b"X-Kept: 1"]


def test_connection_names_nothing_away_that_a_message_needs() -> None:
    names = (b"Content-Type", b"Content-Encoding", b"anthropic-beta", b"User-Agent")
    written = nominating(b"host, content-length, " + b", ".join(names), *names)
    for name in names:
        assert name + b": 1\r\n" in written
    assert written.count(b"Host: upstream.example") == 1
    head = parse_response(
        b"HTTP/1.1 200 OK\r\nConnection: content-type, content-encoding, x-a\r\nX-A: 1\r\n"
        b"Content-Encoding: gzip\r\nContent-Type: a/b\r\n\r\n"
    )
    assert head is not None
    assert render_response(head[0], Framing.KEEP) == (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: a/b\r\n\r\n"
    )


def test_every_field_of_a_full_head_can_be_named() -> None:
    names = [b"x-%d" % (n * 7919 % 254) for n in range(250)]
    written = nominating(b", ".join(reversed(names)), *names)
    assert b": 1" not in written


@pytest.mark.parametrize(
    ("items", "names"),
    [
        ([b"a%d" % (n % 90) for n in range(16_000)], [b"b%d" % n for n in range(250)]),
        ([b"x-a"] * 16_000, [b"x-a"] * 250),
        ([b"x" * 119 + b"z"] * 270, [b"x" * 117 + b"%03d" % n for n in range(250)]),
    ],
    ids=["short", "equal", "alike"],
)
def test_long_lists_in_connection_are_read_once(items: list[bytes], names: list[bytes]) -> None:
    def once() -> float:
        began = time.perf_counter()
        nominating(b",".join(items), *names)
        return time.perf_counter() - began

    assert min(once() for _ in range(10)) < 0.01  # each field against each item: 26 ms


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_no_framing(status: int) -> None:
    for field in (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""):
        parsed = parse_response(b"HTTP/1.1 %d X\r\n%bETag: 1\r\n\r\n" % (status, field))
        assert parsed is not None
        for framing in Framing:
            written = render_response(parsed[0], framing, 7)
            assert written == b"HTTP/1.1 %d X\r\nETag: 1\r\n\r\n" % status
