"""Whether `ccrelay._fast.http1` and its reference make the same of the same bytes."""

from itertools import pairwise
from typing import Any

from ccrelay._fast import head_writer, http1 as ours
from tests.reference import http1 as reference

PLAN: dict[str, Any] = {
    "prefix": b"/api/anthropic",
    "host": b"upstream.example",
    "lines": [(b"Authorization", b"Bearer test-key-1"), (b"X-Static", b"1")],
    "drop_names": [b"x-hop", b"User-Agent"],
    "drop_betas": [b"a", b"claude-code-20250219"],
}
OUR_PLAN = head_writer.RequestPlan(**PLAN)
OUR_BARE_PLAN = head_writer.RequestPlan(prefix=b"", host=b"h", lines=[], pass_credentials=True)


def head_facts(api: Any, kind: str, data: bytes) -> Any:
    """Everything the head at the start of `data` says, None when it is not whole, or its fault."""
    try:
        parsed = (api.parse_request if kind == "request" else api.parse_response)(data)
    except ours.BadHead as error:
        return error.fault
    if parsed is None:
        return None
    head, end = parsed
    plain = ("method", "target", "path", "query", "raw", "minor", "status", "content_length")
    marks = ("is_request", "chunked", "keep_alive", "expects_continue")
    fields = head.items() if api is ours else head.fields
    return (
        end,
        fields,
        {name: getattr(head, name) for name in plain},
        {name: bool(getattr(head, name)) for name in marks},
        _rendered(api, head),
    )


def _rendered(api: Any, head: Any) -> list[bytes]:
    if not head.is_request:
        render = head_writer.render_response if api is ours else api.render_response
        return [
            render(head, framing, 7, *rest)
            for framing in head_writer.Framing
            for rest in (
                (True, b""),
                (False, b"X-Extra: 1\r\n"),
                (True, b"", True, b"text/event-stream"),
            )
        ]
    path = b"/v1/other?x=1"
    if api is ours:
        return [
            OUR_PLAN.render(head, -1, True, path),
            OUR_PLAN.render(head, 12, False, path),
            OUR_BARE_PLAN.render(head, -1, False, path),
        ]
    bare: dict[str, Any] = {"prefix": b"", "host": b"h", "lines": [], "pass_credentials": True}
    return [
        reference.render_request(head, content_length=-1, chunked=True, path=path, **PLAN),
        reference.render_request(head, content_length=12, chunked=False, path=path, **PLAN),
        reference.render_request(head, content_length=-1, chunked=False, path=path, **bare),
    ]


def assert_same_head(kind: str, data: bytes) -> None:
    assert head_facts(ours, kind, data) == head_facts(reference, kind, data)


def assert_same_chunks(parts: list[bytes]) -> None:
    """Fed the same parts, both readers are in the same state after each."""
    mine, theirs = ours.ChunkReader(), reference.ChunkReader()
    assert mine.between == theirs.between
    for part in parts:
        assert b"".join(mine.feed(part)) == b"".join(theirs.feed(part))
        state = (mine.done, mine.fault, mine.between, mine.consumed)
        assert state == (theirs.done, theirs.fault, theirs.between, theirs.consumed)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at the given places, taken modulo its length."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]
