"""Request targets as log lines show them."""

import pytest

from ccrelay.wire.targets import HIDDEN, SHOWN_MAX, shown_target

KEY = b"sk-" + b"test-key-1" * 3
LONG = b"x" * 30


@pytest.mark.parametrize(
    ("path", "query", "shown"),
    [
        (b"/v1/files", b"", "/v1/files"),
        (b"/v1/files/file_" + LONG, b"", "/v1/files/file_" + "x" * 30),
        (b"/v1/messages", b"beta=true", "/v1/messages?beta=true"),
        (b"/v1/files", b"limit=1000&after_id=x", f"/v1/files?limit=1000&after_id={HIDDEN}"),
        (b"/v1/files", b"x=", "/v1/files?x="),
        (b"/v1/files", b"beta", "/v1/files?beta"),
        (b"/v1/files", KEY, f"/v1/files?{HIDDEN}"),
        (b"/v1/files", b"key=" + KEY, f"/v1/files?key={HIDDEN}"),
        (b"/v1/files", b"1234567=1&a=1234567", f"/v1/files?{HIDDEN}&a={HIDDEN}"),
        (b"/v1/files", b"ids[]=7", "/v1/files?ids[]=7"),
        (b"/" + KEY + b"/v1/messages", b"", f"/{HIDDEN}/v1/messages"),
        (b"/v1/files/" + KEY, b"", f"/v1/files/{HIDDEN}"),
        (b"/" + LONG + b"/v1/messages", b"", f"/{HIDDEN}/v1/messages"),
        (b"/robots.txt", b"", "/robots.txt"),
        (b"/v1/\xff\x80", b"", "/v1/\\xff\\x80"),
    ],
)
def test_what_a_log_line_shows(path: bytes, query: bytes, shown: str) -> None:
    assert shown_target(path, query) == shown


def test_a_long_target_is_cut() -> None:
    shown = shown_target(b"/v1/" + b"a/" * 5000, b"beta=true&" * 5000)
    assert shown == "/v1/" + "a/" * 98 + "..."
    assert len(shown) == SHOWN_MAX + 3


def test_no_more_is_read_than_may_be_shown() -> None:
    assert shown_target(b"/" + b"x" * 700 + b"/" + b"y" * 10_000, b"") == f"/{HIDDEN}/{HIDDEN}..."
    long = b"a=secret&" * 88  # 792 bytes
    assert shown_target(b"/v1/messages", long + b"b=123456789").endswith("...")
    shown = shown_target(b"/v1/m", b"sk-x&" * 159 + b"b=1234567890&c=1")  # cut behind `b=123`
    assert "123" not in shown
