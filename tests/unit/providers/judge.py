"""Sends what a dialect makes of a request to the mock of its cloud, which accepts it or not."""

import datetime
import json
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from ccrelay.demo.cloud import Cloud, DialectName
from ccrelay.demo.cloud_context import CloudContext
from ccrelay.demo.http1 import RequestHead
from ccrelay.demo.plan import Document, Stream
from ccrelay.errors import CannotServe
from ccrelay.providers.base import Bridged, Outgoing
from ccrelay.providers.cloud import CloudDialect
from ccrelay.providers.cloud_models import model_id
from ccrelay.types import RequestClass
from ccrelay.wire.thinking import strip_foreign
from tests.unit.providers.clouds import cloud, provider

DIALECTS: dict[str, DialectName] = {
    "bedrock_invoke": "bedrock-invoke",
    "bedrock_messages": "bedrock",
    "bedrock_mantle": "mantle",
    "aws_platform": "claude-aws",
    "vertex": "vertex",
    "google_cloud": "claude-google",
    "foundry": "azure",
}
LEARNED_MAX = 3  # for one request
NOW = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)


class Verdict(NamedTuple):
    """What became of a request.

    Args:
        words: "ok"; "cannot: ..." when the relay does not send it; "400: ..." by the mock.
        bridged: what was sent; None: nothing.
        learned: the features that an error named, and that were left out in the next try.
    """

    words: str
    bridged: Bridged | None
    learned: tuple[str, ...] = ()


def judge(name: str, case: dict[str, Any]) -> Verdict:
    """Bridge a case to a cloud, and send the result to the mock; learn as the relay does."""
    body = case["text"].encode() if "text" in case else json.dumps(case["body"]).encode()
    counts = case.get("kind") == "count"
    request = Outgoing(
        body=body,
        model=model_id(provider(name), case["model"]),
        kind=RequestClass.COUNT_TOKENS if counts else RequestClass.MESSAGES,
        stream=b'"stream":true' in body.replace(b" ", b""),
        version=case.get("version", "2023-06-01").encode(),
        betas=tuple(case["betas"]),
    )
    dialect, learned = cloud(name), list[str]()
    while True:
        try:
            bridged = dialect.bridge(replace(request, dropped=frozenset(learned)))
        except CannotServe as error:
            return Verdict(f"cannot: {error.message}", None)
        reply = _answer(name, dialect, bridged)
        if not isinstance(reply, Document) or reply.status == 200:
            return Verdict("ok", bridged, tuple(learned))
        if "Invalid `signature`" in _message(reply.body):  # the relay strips it, and tries again
            body, removed = strip_foreign(request.body, everything=False)
            request = replace(request, body=body)
            if removed:
                continue
        named = [
            feature
            for feature in dialect.features_refused(reply.status, reply.body)
            if feature not in learned
        ]
        if not named or len(learned) + len(named) > LEARNED_MAX:
            return Verdict(f"{reply.status}: {_message(reply.body)}", bridged, tuple(learned))
        learned += named


def _answer(name: str, dialect: CloudDialect, bridged: Bridged) -> Document | Stream:
    target = dialect.prefix() + bridged.path
    headers = [(field.decode(), value.decode()) for field, value in bridged.lines]
    if name == "aws_platform":
        headers.append(("anthropic-workspace-id", "wrkspc_test1"))
    headers.append(("authorization", "Bearer test-token-1"))
    head = RequestHead("POST", target.decode(), 1, headers)
    mock = Cloud(dialect=DIALECTS[name])
    context = CloudContext(head, serial="1", now=NOW, gap_s=0.0, cloud=mock)
    context.body = bridged.body
    return context.reply()


def raw_at(body: bytes, pointer: str) -> bytes | None:
    """The bytes of a value in a body by its JSON pointer; None: it is not there."""
    raw = body
    for step in pointer.strip("/").split("/"):
        if raw[:1] == b"[":
            items = msgspec.json.decode(raw, type=list[msgspec.Raw])
            if not step.isdigit() or int(step) >= len(items):
                return None
            raw = bytes(items[int(step)])
        else:
            members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            if step not in members:
                return None
            raw = bytes(members[step])
    return raw


def _message(body: bytes) -> str:
    plain = json.loads(body)
    plain = plain[0] if isinstance(plain, list) else plain
    return str(plain.get("message") or plain["error"]["message"])
