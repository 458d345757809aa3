"""Field names and families of names, by FieldId: see field_names.pxd.

Three tables, indexed when this is imported: whole names, beginnings and ends. Whatever is in none
of them is F_OTHER and passes: new names appear with any release, of clients and of services. A
whole name goes before a beginning, a beginning before an end; then the first entry that fits.
`tests/reference/field_names.py` says the same with regular expressions.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from ccrelay._fast.http1 cimport (
    F_ACCEPT_ENCODING, F_AGENT_ID, F_ALIAS, F_ANTHROPIC_BETA, F_API_KEY, F_AUTHORIZATION,
    F_BROWSER, F_CHALLENGE, F_CLOUD, F_CONDITIONAL, F_CONNECTION, F_CONTENT_ENCODING,
    F_CONTENT_LENGTH, F_CONTENT_TYPE, F_COOKIE, F_CREDENTIAL, F_EXPECT, F_FORWARDING, F_HOP,
    F_HOST, F_KEEP_ALIVE, F_NAVIGATION, F_ORIGIN, F_OTHER, F_OVERRIDE, F_PROXY_AUTHENTICATE,
    F_PROXY_AUTHORIZATION, F_PROXY_CONNECTION, F_REFERER, F_RELAY, F_REQUEST_CLASS, F_REQUEST_ID,
    F_RETRY_AFTER, F_SEC_FETCH_SITE, F_SESSION_ID, F_SET_COOKIE, F_TE, F_TRAILER,
    F_TRANSFER_ENCODING, F_UPGRADE, F_USER_AGENT, F_X_API_KEY, F_X_SHOULD_RETRY,
)

cdef enum:
    RULES_MAX = 160
    KEYS = 256               # keys of an index: by what of a name its rules are found
    NAME_MAX = 64            # of a name with odd punctuation; a longer one is F_ALIAS

_NAMES = (
    (<int>F_HOST, "host"),
    (<int>F_CONTENT_LENGTH, "content-length"),
    (<int>F_TRANSFER_ENCODING, "transfer-encoding"),
    (<int>F_CONNECTION, "connection"),
    (<int>F_KEEP_ALIVE, "keep-alive"),
    (<int>F_PROXY_CONNECTION, "proxy-connection"),
    (<int>F_PROXY_AUTHORIZATION, "proxy-authorization"),
    (<int>F_PROXY_AUTHENTICATE, "proxy-authenticate"),
    (<int>F_TE, "te"),
    (<int>F_TRAILER, "trailer"),
    (<int>F_UPGRADE, "upgrade"),
    (<int>F_EXPECT, "expect"),
    (<int>F_AUTHORIZATION, "authorization"),
    (<int>F_X_API_KEY, "x-api-key"),
    (<int>F_ACCEPT_ENCODING, "accept-encoding"),
    (<int>F_CONTENT_ENCODING, "content-encoding"),
    (<int>F_CONTENT_TYPE, "content-type"),
    (<int>F_COOKIE, "cookie"),
    (<int>F_ORIGIN, "origin"),
    (<int>F_SEC_FETCH_SITE, "sec-fetch-site"),
    (<int>F_REFERER, "referer"),
    (<int>F_ANTHROPIC_BETA, "anthropic-beta"),
    (<int>F_RETRY_AFTER, "retry-after"),
    (<int>F_REQUEST_ID, "request-id"),
    (<int>F_X_SHOULD_RETRY, "x-should-retry"),
    (<int>F_SESSION_ID, "x-claude-code-session-id"),
    (<int>F_AGENT_ID, "x-claude-code-agent-id"),
    (<int>F_REQUEST_CLASS, "x-claude-code-request-class"),
    (<int>F_USER_AGENT, "user-agent"),
    (<int>F_API_KEY, "api-key"),
    # ---- families, by names that no beginning or end covers
    (<int>F_HOP, "http2-settings early-data alpn trailers"),
    (<int>F_CONDITIONAL, "if-none-match if-modified-since"),
    (
        <int>F_FORWARDING,
        "forwarded via client-ip remote-addr cdn-loop max-forwards x-scheme x-url-scheme "
        "front-end-https front-end-protocol",
    ),
    (
        <int>F_OVERRIDE,
        "proxy x-host x-url x-uri x-method base-url request-uri script-name path-info "
        "cdn-cache-control edge-control",
    ),
    (
        <int>F_CREDENTIAL,
        "apikey api-token token jwt secret password credentials authentication auth dpop cookie2 "
        "x-auth x-apikey x-user remote-user",
    ),
    (<int>F_NAVIGATION, "location refresh link uri"),
    (<int>F_CHALLENGE, "authentication-info authentication-control"),
    (
        <int>F_BROWSER,
        "alt-svc alt-used alternate-protocol strict-transport-security expect-ct expect-staple "
        "clear-site-data origin-trial origin-isolation origin-agent-cluster critical-ch "
        "delegate-ch feature-policy referrer-policy timing-allow-origin service-worker "
        "service-worker-allowed speculation-rules no-vary-search supports-loading-mode sourcemap "
        "x-sourcemap nel report-to reporting-endpoints use-as-dictionary available-dictionary "
        "dictionary-id tk dnt upgrade-insecure-requests activate-storage-access "
        "observe-browsing-topics x-webkit-csp x-ua-compatible x-dns-prefetch-control "
        "x-permitted-cross-domain-policies x-xss-protection",
    ),
)
_BEGINNINGS = (
    (<int>F_OTHER, "anthropic- x-stainless- x-claude- x-ratelimit-"),  # open lists
    (<int>F_HOP, "proxy-"),
    (
        <int>F_FORWARDING,
        "forwarded- x-forwarded x-forward- x-real- x-client-ip x-clientip x-cluster- true-client- "
        "cf- fastly- akamai- x-akamai- x-azure- x-appengine- x-vercel- x-nf- fly- wl-proxy- "
        "incap- x-proxyuser-",
    ),
    (
        <int>F_OVERRIDE,
        "x-original- x-rewrite- x-http-method x-method-override x-override- x-script- x-envoy- "
        "x-middleware- x-nextjs- x-invoke- x-accel- x-sendfile x-lighttpd- x-litespeed- "
        "x-reproxy- surrogate-",
    ),
    (
        <int>F_CREDENTIAL,
        "x-auth- auth- x-authenticated- x-remote- remote- x-webauth- x-consumer- x-credential- "
        "x-ssl-client ssl-client x-client-cert client-cert x-client-dn x-jwt- x-authentik- "
        "x-pomerium- x-vouch- tailscale-user- ocp-apim-",
    ),
    (<int>F_CLOUD, "x-amz- x-amzn- x-goog- x-ms- x-oss- x-acs- x-tc- x-bce-"),
    (<int>F_NAVIGATION, "hx- x-inertia"),
    (<int>F_SET_COOKIE, "set-cookie set-login"),
    (
        <int>F_BROWSER,
        "access-control- sec- public-key-pins content-security-policy x-content-security-policy "
        "cross-origin- permissions-policy document-policy document-isolation-policy "
        "require-document-policy integrity-policy accept-ch attribution-reporting- ad-auction- "
        "shared-storage-",
    ),
    (<int>F_RELAY, "x-ccrelay-"),
)
_ENDS = (
    (<int>F_FORWARDING, "-ip -addr -proto"),
    (<int>F_OVERRIDE, "-override -url -uri -host -redirect -rewrite -cdn-cache-control"),
    (
        <int>F_CREDENTIAL,
        "-token -api-key -apikey -access-key -secret-key -auth-key -subscription-key -secret "
        "-password -authorization -auth -credential -credentials -jwt -assertion",
    ),
    (<int>F_NAVIGATION, "-location"),
    (<int>F_CHALLENGE, "-authenticate -authentication-info"),
)


ctypedef struct Rule:
    const char* text
    uint8_t size
    uint8_t id


ctypedef struct Index:
    Rule[RULES_MAX] rules
    uint16_t[KEYS + 1] first     # of the rules with this key: from here to the next key's first


cdef Index names, beginnings, ends
cdef list _texts = []        # what the rules point into


cdef inline int _name_key(const uint8_t* p, Py_ssize_t n) noexcept:
    return <int>((n * 11 + (p[0] | 32) * 3 + (p[n - 1] | 32)) & (KEYS - 1))


cdef inline int _beginning_key(const uint8_t* p, Py_ssize_t n) noexcept:
    # By two letters, behind the `x-` that many begin with.
    cdef Py_ssize_t at = 2 if n > 3 and p[1] == c"-" and p[0] | 32 == c"x" else 0
    return <int>(((p[at] | 32) * 7 + (p[at + 1] | 32 if at + 1 < n else 0)) & (KEYS - 1))


cdef inline int _end_key(const uint8_t* p, Py_ssize_t n) noexcept:
    return <int>(((p[n - 1] | 32) * 7 + (p[n - 2] | 32 if n > 1 else 0)) & (KEYS - 1))


cdef int _key(Index* index, const uint8_t* p, Py_ssize_t n) noexcept:
    if index == &names:
        return _name_key(p, n)
    return _beginning_key(p, n) if index == &beginnings else _end_key(p, n)


cdef int _fill(Index* index, tuple lists) except -1:
    cdef const uint8_t* p
    cdef Rule* rule
    cdef bytes text
    cdef Py_ssize_t n
    cdef int key, count = 0
    found = [(rule_id, word.encode()) for rule_id, words in lists for word in words.split()]
    for _, text in found:
        _texts.append(text)
    for key in range(KEYS):
        index.first[key] = count
        for rule_id, text in found:
            p, n = <const uint8_t*><const char*>text, len(text)
            if _key(index, p, n) == key:
                if count == RULES_MAX:
                    raise AssertionError("RULES_MAX is too small")
                rule = &index.rules[count]
                rule.text, rule.size, rule.id = <const char*>p, <uint8_t>n, rule_id
                count += 1
    index.first[KEYS] = count
    return 0


_fill(&names, _NAMES)
_fill(&beginnings, _BEGINNINGS)
_fill(&ends, _ENDS)


cdef inline bint _is(const uint8_t* p, const char* lower, Py_ssize_t n) noexcept:
    # The 32s make lower case of letters, leave digits and '-', and make neither of anything else.
    cdef uint64_t a, b
    cdef Py_ssize_t i = 0
    if n < 8:
        while i < n and p[i] | 32 == <uint8_t>lower[i]:
            i += 1
        return i == n
    while True:
        memcpy(&a, p + i, 8)
        memcpy(&b, lower + i, 8)
        if a | <uint64_t>0x2020202020202020 != b:
            return False
        if i == n - 8:
            return True
        i = min(i + 8, n - 8)


cdef inline int _family(const uint8_t* p, Py_ssize_t n) noexcept:
    cdef const Rule* rule
    cdef int i, key = _beginning_key(p, n)
    for i in range(beginnings.first[key], beginnings.first[key + 1]):
        rule = &beginnings.rules[i]
        if rule.size <= n and _is(p, rule.text, rule.size):
            return rule.id
    key = _end_key(p, n)
    for i in range(ends.first[key], ends.first[key + 1]):
        rule = &ends.rules[i]
        if rule.size <= n and _is(p + n - rule.size, rule.text, rule.size):
            return rule.id
    return F_OTHER


cdef int field_id(const uint8_t* p, Py_ssize_t n) noexcept:
    cdef const Rule* rule
    cdef int i, key
    if n == 0:
        return F_OTHER
    key = _name_key(p, n)
    for i in range(names.first[key], names.first[key + 1]):
        rule = &names.rules[i]
        if rule.size == n and _is(p, rule.text, n):
            return rule.id
    return _family(p, n)


cdef int odd_field_id(const uint8_t* p, Py_ssize_t n) noexcept:
    # A gateway interface that makes `_` of punctuation (CGI) sees the known name in it. Never acted
    # upon: servers that drop such names would see another message than we do.
    cdef uint8_t plain[NAME_MAX]
    cdef Py_ssize_t i
    if n > NAME_MAX:
        return F_ALIAS
    for i in range(n):
        plain[i] = folded(p[i])
    return F_ALIAS if field_id(plain, n) != F_OTHER else F_OTHER


def id_of_name(bytes name not None):
    """The FieldId of a field name, as an integer."""
    cdef const uint8_t* p = <const uint8_t*><const char*>name
    cdef Py_ssize_t i, n = len(name)
    for i in range(n):
        if not PLAIN[p[i]]:
            return odd_field_id(p, n)
    return field_id(p, n)
