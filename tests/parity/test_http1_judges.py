"""Our verdict on each corpus entry against two independent parsers: h11 and llhttp (httptools).

Every difference is listed with its reason: an unlisted one and a stale one both fail.
"""

from collections.abc import Iterator
from itertools import product

import h11
import httptools
import pytest

from ccrelay._fast import http1 as ours
from tests.corpus.http1.entries import ENTRIES, Entry, read_message

Opinion = bytes | None  # the decoded body of an accepted message, None: refused or not whole


def our_opinion(entry: Entry) -> Opinion:
    verdict, _, body = read_message(ours, entry.kind, entry.data)
    return body if verdict == "OK" else None


def h11_opinion(entry: Entry) -> Opinion:
    if entry.kind == "request":
        peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 17)
    else:
        peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 17)
        peer.send(h11.Request(method="GET", target="/", headers=[("Host", "relay")]))
        peer.send(h11.EndOfMessage())
    peer.receive_data(entry.data)
    body = b""
    at_end = False
    try:
        while True:
            match peer.next_event():
                case h11.Data(data=data):
                    body += data
                case h11.EndOfMessage():
                    return body
                case h11.NEED_DATA | h11.PAUSED if not at_end:
                    peer.receive_data(b"")  # a body may end with the connection
                    at_end = True
                case h11.NEED_DATA | h11.PAUSED | h11.ConnectionClosed():
                    return None
    except h11.RemoteProtocolError:
        return None


class Listener:
    def __init__(self) -> None:
        self.body = b""
        self.heads = 0
        self.wholes = 0

    def on_headers_complete(self) -> None:
        self.heads += 1

    def on_body(self, data: bytes) -> None:
        if not self.wholes:
            self.body += data

    def on_message_complete(self) -> None:
        self.wholes += 1


def llhttp_opinion(entry: Entry) -> Opinion:
    listener = Listener()
    if entry.kind == "request":
        parser = httptools.HttpRequestParser(listener)
    else:
        parser = httptools.HttpResponseParser(listener)
    try:
        parser.feed_data(entry.data)
    except httptools.HttpParserUpgrade:
        return b""  # CONNECT: the rest would be the tunnel's
    except httptools.HttpParserError:
        return listener.body if listener.wholes else None
    if listener.wholes:
        return listener.body
    until_close = entry.kind == "response" and listener.heads and _ends_with_connection(entry.data)
    return listener.body if until_close else None


def _ends_with_connection(data: bytes) -> bool:
    # httptools has no end-of-connection signal; without framing fields it waits for more.
    head = data.partition(b"\r\n\r\n")[0].lower()
    return b"content-length" not in head and b"transfer-encoding" not in head


JUDGES = {"h11": h11_opinion, "llhttp": llhttp_opinion}

BOTH = "h11 llhttp"
# reason, judges that think otherwise, entries
WE_REFUSE = [
    ("a host we would not route or allow-list by", BOTH, "host-empty host-list host-obs-text"),
    ("a host with more or less than name and port", BOTH, "host-bracket-open host-path"),
    ("a port is one to five digits", BOTH, "host-port-empty host-port-letters host-port-6-digits"),
    ("userinfo hides the real host", BOTH, "host-userinfo absolute-userinfo"),
    ("two answers to the question which host is meant", BOTH, "absolute-other-host"),
    ("Host is wanted once (RFC 9112 3.2)", "llhttp", "host-missing host-twice host-twice-http10"),
    ("a Host is wanted under HTTP/1.0, too", BOTH, "host-missing-http10"),
    ("a Host is wanted under HTTP/1.0, too", BOTH, "absolute-http10-host-missing"),
    ("two answers to the question which host is meant", BOTH, "absolute-http10-other-host"),
    ("two answers to: whose page?", BOTH, "origin-twice sec-fetch-site-twice"),
    ("a relay is no tunnel", BOTH, "connect connect-origin-form"),
    ("no path to route by", BOTH, "absolute-ftp absolute-query-only asterisk-get fragment"),
    ("some peers read it as a slash", BOTH, "backslash"),
    ("a target begins with a slash", "h11", "relative-target"),
    ("servers differ on empty and dot segments", BOTH, "path-empty-segment"),
    ("servers differ on empty and dot segments", BOTH, "path-empty-first-segment"),
    ("servers differ on empty and dot segments", BOTH, "path-empty-last-segment path-dot-segment"),
    ("servers differ on empty and dot segments", BOTH, "path-dots-segment"),
    ("servers differ on what follows a ;", BOTH, "path-parameters path-escaped-semicolon"),
    ("servers differ on when they decode", BOTH, "path-encoded-dots path-escaped-slash"),
    ("servers differ on when they decode", BOTH, "path-escaped-backslash path-escaped-letter"),
    ("servers differ on when they decode", BOTH, "path-double-escape path-overlong-dot"),
    ("control bytes, escaped", BOTH, "path-escaped-control query-escaped-line-end"),
    ("no URI (RFC 3986)", BOTH, "path-broken-escape path-braces query-broken-escape"),
    ("one space (RFC 9112 3)", "llhttp", "two-spaces"),
    ("methods are upper-case and short", "h11", "lower-case-method method-too-long"),
    ("HTTP/0.9 has no head", "llhttp", "no-version"),
    ("a version we do not speak", "h11", "version-1-2 version-2-0"),
    ("a version we do not speak", BOTH, "version-2"),
    ("two empty lines at most", "llhttp", "three-empty-lines-before"),
    ("a bare LF ends no line", "h11", "bare-lf-empty-line bare-lf-everywhere bare-lf-start-line"),
    ("a bare LF ends no line", "h11", "te-bare-lf-before trailer-lf chunk-last-lf-at-the-end"),
    ("a bare LF ends no line", "llhttp", "bare-lf-first"),
    ("obsolete folding is not joined", "h11", "obs-fold obs-fold-empty te-folded te-folded-by-tab"),
    ("obsolete folding is not joined", "h11", "te-leading-space trailer-folded"),
    ("control bytes", "h11", "del-in-value escape-in-value chunk-extension-nul chunk-extension-cr"),
    ("two framings: h11 lets chunked win", "h11", "cl-and-te te-and-cl"),
    ("a length stands once: h11 merges equal ones", "h11", "cl-twice-same cl-list"),
    ("chunked alone: the body would need decoding", "llhttp", "te-gzip-chunked"),
    ("faulty framing under HTTP/1.0 (RFC 9112 6.1)", BOTH, "te-http10"),
    ("no white space in a size line", "h11", "chunk-size-trailing-space"),
    ("our limit", BOTH, "chunk-extension-too-long chunk-size-17-digits trailer-too-large"),
    ("our limit", BOTH, "too-many-fields"),
]
WE_REFUSE_RESPONSES = [
    ("a bare LF ends no line", "h11", "bare-lf"),
    ("two framings: h11 lets chunked win", "h11", "cl-and-te"),
    ("a length stands once: h11 merges equal ones", "h11", "cl-twice-same"),
    ("empty before the fold is seen", "h11", "te-folded"),
    ("chunked alone: the body would need decoding", "llhttp", "te-gzip-chunked"),
    ("faulty framing under HTTP/1.0 (RFC 9112 6.1)", BOTH, "te-http10"),
    ("only requests may be preceded by an empty line", "llhttp", "empty-line-before"),
    ("control bytes", "llhttp", "nul-in-reason"),
    ("statuses are 100 to 599", "llhttp", "status-099"),
    ("statuses are 100 to 599", BOTH, "status-600"),
]
WE_ACCEPT = [
    ("RFC 9112 2.2 says at least one; two do no harm", "h11", "empty-lines-before"),
    ("llhttp knows a fixed list of methods", "llhttp", "unknown-method"),
]


def _listed() -> Iterator[tuple[tuple[str, str], str]]:
    tables = {"request": [*WE_REFUSE, *WE_ACCEPT], "response": WE_REFUSE_RESPONSES}
    for kind, rows in tables.items():
        for reason, judges, names in rows:
            for judge, name in product(judges.split(), names.split()):
                yield (f"{kind}-{name}", judge), reason


DIFFERENCES = dict(_listed())


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_only_listed_differences_to_independent_parsers_occur(entry: Entry, judge: str) -> None:
    differs = JUDGES[judge](entry) != our_opinion(entry)
    assert differs == ((entry.name, judge) in DIFFERENCES)


def test_listed_differences_are_unique_corpus_entries() -> None:
    assert set(DIFFERENCES) <= {(entry.name, judge) for entry in ENTRIES for judge in JUDGES}
    assert len(list(_listed())) == len(DIFFERENCES)
