"""What Claude Code sends, and what `/context` says, in each way to reach Anthropic's API.

Taken where it arrives: at a mock provider, behind whatever lies between.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.client.claude import MODEL, Run
from tests.client.recorder import Seen, Tap

MAPPED = "glm-4.6"
WINDOW = 131_072  # of it
LONG = "claude-sonnet-4-6[1m]"
YES, NO = "yes", "-"
# Headers that every request has, or that say how it was carried.
USUAL = frozenset(
    {"host", "accept-encoding", "content-length", "connection", "x-api-key", "authorization"}
)

Ask = Callable[[str, str], Run]


class Way(NamedTuple):
    """One way: its heading, how to run the client, and where its requests arrive."""

    title: str
    ask: Ask  # given the prompt and the model
    tap: Tap


class Seen1(NamedTuple):
    """What one way shows."""

    title: str
    betas: frozenset[str]
    headers: frozenset[str]
    members: frozenset[str]
    others: Sequence[str]  # requests besides
    body: Mapping[str, Any]
    context: Mapping[str, str]  # category -> tokens
    window: str
    long_window: str
    mapped_window: str


def look(way: Way) -> Seen1:
    """Run the client in one way, and tell what arrived."""
    before = {one.number: len(one.seen()) for one in way.tap.conversations}
    run = way.ask("hi", MODEL)
    assert run.exit_code == 0, run.errors
    seen = [
        one
        for conversation in way.tap.conversations  # the relay keeps its connections
        for one in conversation.seen()[before.get(conversation.number, 0) :]
    ]
    asked = next(one for one in seen if one.path == b"/v1/messages")
    body = json.loads(asked.body)
    context = way.ask("/context", MODEL).text
    return Seen1(
        title=way.title,
        betas=_betas(asked),
        headers=frozenset(name.decode().lower() for name, _ in asked.fields) - USUAL,
        members=frozenset(body),
        others=sorted({_line(one) for one in seen if one.path != b"/v1/messages"}),
        body=body,
        context=dict(re.findall(r"^\| ([^|]+?) \| ([\d.]+k?) \|", context, re.MULTILINE)),
        window=_window(context),
        long_window=_window(way.ask("/context", LONG).text),
        mapped_window=_window(way.ask("/context", MAPPED).text),
    )


def _betas(seen: Seen) -> frozenset[str]:
    return frozenset((seen.field(b"anthropic-beta") or b"").decode().split(","))


def _line(seen: Seen) -> str:
    return f"{seen.method.decode()} {seen.path.decode()}"


def _window(text: str) -> str:
    found = re.search(r"\*\*Tokens:\*\* \S+ / (\S+)", text)
    assert found is not None, text[:500]
    return found[1]


def table(ways: Sequence[Seen1]) -> str:
    """Return the differences as a Markdown table."""
    rows = [["", *(way.title for way in ways)]]
    rows += _set_rows("beta", [way.betas for way in ways])
    rows += _set_rows("header", [way.headers for way in ways])
    rows += _set_rows("body member", [way.members for way in ways])
    rows += [
        [name, *(show(way) for way in ways)]
        for name, show in (
            ("`cache_control.scope`", lambda way: _has(_scopes(way.body))),
            ("attribution block", _attribution),
            ("tools with `eager_input_streaming`", _eager),
            ("tools of an MCP server, deferred", _deferred),
            ("`/context` of `" + MODEL + "`", lambda way: way.window),
            (f"`/context` of `{LONG}`", lambda way: way.long_window),
            (f"`/context` of `{MAPPED}`", lambda way: way.mapped_window),
            ("requests besides", lambda way: _list(way.others)),
        )
    ]  # fmt: skip
    head, *rest = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest])


def _set_rows(kind: str, sets: Sequence[frozenset[str]]) -> list[list[str]]:
    """One row for each that some have and others have not; those of all are counted."""
    everywhere = frozenset.intersection(*sets)
    rows = [[f"{kind}s that all send", *(str(len(everywhere)) for _ in sets)]]
    for name in sorted(frozenset.union(*sets) - everywhere):
        rows.append([f"{kind} `{name}`", *(YES if name in one else NO for one in sets)])
    return rows


def _has(found: bool) -> str:
    return YES if found else NO


def _scopes(body: Mapping[str, Any]) -> bool:
    return any("scope" in block.get("cache_control", {}) for block in body["system"])


def _attribution(way: Seen1) -> str:
    text = way.body["system"][0]["text"]
    if not text.startswith("x-anthropic-billing-header"):
        return NO
    return "changes with each request" if "cch=" in text else "same over a session"


def _eager(way: Seen1) -> str:
    tools = way.body["tools"]
    return f"{sum('eager_input_streaming' in tool for tool in tools)} of {len(tools)}"


def _deferred(way: Seen1) -> str:
    return _has("MCP tools (deferred)" in way.context)


def _list(lines: Sequence[str]) -> str:
    kept = [line for line in lines if "count_tokens" not in line]
    return ", ".join(f"`{line}`" for line in kept) or NO
