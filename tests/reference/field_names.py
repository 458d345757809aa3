"""Field names and what becomes of them, as regular expressions: the oracle of `_fast.field_names`.

The first family whose expression fits a whole name has it.
"""

import re

# Names that the relay knows one by one, by what becomes of them.
_KNOWN = {
    "framing": "content-length transfer-encoding",
    "hop": "connection keep-alive proxy-connection proxy-authorization proxy-authenticate te "
    "trailer upgrade http2-settings early-data alpn trailers",
    "written": "host expect accept-encoding",
    "credential": "authorization x-api-key api-key",
    "secret": "cookie apikey api-token token jwt secret password credentials authentication auth "
    "dpop cookie2 x-auth x-apikey x-user remote-user",
    "kept": "content-encoding content-type anthropic-beta retry-after request-id x-should-retry "
    "x-claude-code-session-id x-claude-code-agent-id x-claude-code-request-class user-agent",
    "conditional": "if-none-match if-modified-since",
    "forwarding": "forwarded via client-ip remote-addr cdn-loop max-forwards x-scheme "
    "x-url-scheme front-end-https front-end-protocol",
    "override": "proxy x-host x-url x-uri x-method base-url request-uri script-name path-info "
    "cdn-cache-control edge-control",
    "navigation": "location refresh link uri",
    "challenge": "authentication-info authentication-control",
    "origin": "origin",
    "browser": "alt-svc alt-used alternate-protocol strict-transport-security expect-ct "
    "expect-staple clear-site-data origin-trial origin-isolation origin-agent-cluster critical-ch "
    "delegate-ch feature-policy referrer-policy timing-allow-origin service-worker "
    "service-worker-allowed speculation-rules no-vary-search supports-loading-mode sourcemap "
    "x-sourcemap nel report-to reporting-endpoints use-as-dictionary available-dictionary "
    "dictionary-id tk dnt referer upgrade-insecure-requests activate-storage-access "
    "observe-browsing-topics x-webkit-csp x-ua-compatible x-dns-prefetch-control "
    "x-permitted-cross-domain-policies x-xss-protection",
}
BY_NAME = {name: kind for kind, names in _KNOWN.items() for name in names.split()}

_FAMILIES = (
    ("other", r"(anthropic|x-stainless|x-claude|x-ratelimit)-.*"),
    ("hop", r"proxy-.*"),
    (
        "forwarding",
        r"(forwarded-|x-forwarded|x-forward-|x-real-|x-client-?ip|x-cluster-|true-client-|cf-"
        r"|fastly-|(x-)?akamai-|x-azure-|x-appengine-|x-vercel-|x-nf-|fly-|wl-proxy-|incap-"
        r"|x-proxyuser-).*",
    ),
    (
        "override",
        r"(x-(original|rewrite|override|script|envoy|middleware|nextjs|invoke|accel|lighttpd"
        r"|litespeed|reproxy)-|x-method-override|x-http-method|x-sendfile|surrogate-).*",
    ),
    (
        "secret",
        r"((x-)?auth-|x-authenticated-|(x-)?remote-|x-webauth|x-consumer-|x-credential-"
        r"|(x-)?ssl-client|(x-)?client-cert|x-client-dn|x-jwt-|x-authentik-|x-pomerium-|x-vouch-"
        r"|tailscale-user-|ocp-apim-).*",
    ),
    ("cloud", r"x-(amz|amzn|goog|ms|oss|acs|tc|bce)-.*"),
    ("navigation", r"(hx-|x-inertia).*"),
    ("set-cookie", r"set-(cookie|login).*"),
    (
        "browser",
        r"(access-control-|sec-|public-key-pins|(x-)?content-security-policy|cross-origin-"
        r"|permissions-policy|(require-)?document-policy|document-isolation-policy|integrity-policy"
        r"|accept-ch|attribution-reporting-|ad-auction-|shared-storage-).*",
    ),
    ("relay", r"x-ccrelay-.*"),
    ("forwarding", r".*-(ip|addr|proto)"),
    ("override", r".*-(override|url|uri|host|redirect|rewrite|cdn-cache-control)"),
    (
        "secret",
        r".*-(token|api-?key|access-key|secret-key|auth-key|subscription-key|secret|password"
        r"|authorization|auth|credentials?|jwt|assertion)",
    ),
    ("navigation", r".*-location"),
    ("challenge", r".*-(authenticate|authentication-info)"),
)

_EVERYWHERE = {"framing", "hop", "alias", "override", "navigation", "set-cookie", "challenge"}
_EVERYWHERE |= {"browser", "relay", "secret"}
TO_NO_CLIENT = _EVERYWHERE
TO_NO_PROVIDER = _EVERYWHERE | {"written", "credential", "conditional", "forwarding", "cloud"}
TO_NO_PROVIDER |= {"origin"}


def folded(name: bytes) -> bytes:
    """A name as names are compared: lower case, and `-` for any punctuation."""
    return re.sub(rb"[^a-z0-9-]", b"-", name.lower())


def family(name: bytes) -> str:
    """What a field is; "other": unknown, it passes; "alias": a known name in odd punctuation."""
    plain = folded(name)
    if plain == name.lower():
        return _family(plain.decode())
    return "alias" if len(name) > 64 or _family(plain.decode()) != "other" else "other"


def _family(name: str) -> str:
    if name in BY_NAME:
        return BY_NAME[name]
    return next((kind for kind, text in _FAMILIES if re.fullmatch(text, name)), "other")
