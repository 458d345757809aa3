"""Local replies, and the rendering of provider errors.

Pure functions that return bytes.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

import orjson

from ccrelay import __version__
from ccrelay._fast.head_writer import Framing, render_response
from ccrelay._fast.http1 import Head
from ccrelay.errors import NotFound, RelayError
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.wire.errors import RETRY_AFTER_MAX_S, json_response
from ccrelay.wire.models import ModelEntry, find_model, model_list, page_query

Fields = Sequence[tuple[bytes, bytes]]
# Header fields of a provider that the relay's own retry time replaces. `x-should-retry: false`
# refers to the provider's time.
_REPLACED = frozenset({b"retry-after", b"retry-after-ms", b"x-should-retry"})
_RETRY_AFTER = re.compile(rb"(?im)^retry-after(?:-ms)?:[^\r\n]*\r\n")


def local_answer(
    path: bytes,
    providers: list[ProviderState],
    now: float,
    *,
    is_known: bool,
    keep_alive: bool,
    body_wanted: bool,
) -> bytes:
    """The response for `/`, `/health`, `/ready` and `/api/hello`.

    `is_known`: the client may see the relay's state; others get the status alone, which is what a
    load balancer looks at.
    """
    status = 200
    body = b'{"status":"ok"}'
    if path == b"/ready":
        usable = [provider.name for provider in providers if provider.usable(now)]
        status = 200 if usable else 503
        told: dict[str, object] = {"ready": bool(usable)}
        if is_known:
            told["providers"] = usable
        body = orjson.dumps(told)
    elif path != b"/health" and is_known:
        body = orjson.dumps({"name": "ccrelay", "version": __version__})
    return json_response(status, body, (), keep_alive, body_wanted)


def models_body(entries: list[ModelEntry], path: bytes, query: bytes) -> bytes:
    """JSON of the page of models, or of the single model, that a GET requests.

    Raises:
        NotFound: no such model.
    """
    if path == b"/v1/models":
        limit, after_id, before_id = page_query(query.decode("latin-1"))
        return model_list(entries, limit, after_id, before_id)
    name = unquote(path[len(b"/v1/models/") :].decode("latin-1"))
    found = find_model(entries, name)
    if found is None:
        raise not_served(name, [entry.id for entry in entries])
    return found


def not_served(model: str, served: list[str]) -> RelayError:
    """The 404 for a model that no provider serves; its text lists the served ones."""
    shown = model if len(model) <= 100 else model[:100] + "..."
    names = ", ".join(served[:30]) or "nothing"
    return NotFound(
        f"No provider serves the model {shown!r}. Served: {names}. "
        "Add it to a provider's models or model_mapping."
    )


# Header fields that stay valid when the body of an error is translated.
_PASSED_ON = (b"request-id", b"retry-after", b"x-should-retry")
# Limits of the provider, an open set.
_LIMITS = (b"anthropic-ratelimit-", b"x-ratelimit-")
# How clouds name a request, where Anthropic says `request-id`.
_REQUEST_IDS = (
    b"x-amzn-requestid",
    b"x-amz-request-id",
    b"x-goog-request-id",
    b"apim-request-id",
    b"x-ms-request-id",
)


def request_id(head: Head) -> bytes | None:
    """The provider's name of a request, by whatever header; None: it tells none."""
    for name in (b"request-id", *_REQUEST_IDS):
        value = head.get(name)
        if value:
            return value
    return None


def passed_on(head: Head, forbids_retry: bool) -> list[tuple[bytes, bytes]]:
    """Header fields of a provider's error that are sent with its translated body."""
    fields = [(name, value) for name in _PASSED_ON if (value := head.get(name)) is not None]
    if head.get(b"request-id") is None and (named := request_id(head)) is not None:
        fields.append((b"request-id", named))
    fields += [
        (name.lower(), value) for name, value in head.items() if name.lower().startswith(_LIMITS)
    ]
    if forbids_retry and head.get(b"x-should-retry") is None:
        fields.append((b"x-should-retry", b"false"))
    return fields


class ErrorReply:
    """An error that may be sent to the client: a provider's or the relay's own.

    Args:
        priority: an `ErrorPriority`; the error with the highest one is sent.
        status: HTTP status.
        body: from the provider, possibly translated.
        head: the provider's response head; None when the body was translated or has no head.
        fields: header fields to send instead of `head`.
        error: the relay's own error, instead of all of the above.

    `plain`: the body has been decoded, so the coding that `head` names does not hold.
    """

    __slots__ = ("body", "error", "fields", "head", "plain", "priority", "status")

    def __init__(
        self,
        priority: int,
        status: int,
        body: bytes = b"",
        *,
        head: Head | None = None,
        fields: Fields = (),
        error: RelayError | None = None,
    ) -> None:
        self.priority = priority
        self.status = status
        self.body = body
        self.head = head
        self.fields = fields
        self.error = error
        self.plain = False


class Rejection(NamedTuple):
    """How a target rejected the signatures of thinking blocks."""

    reply: ErrorReply  # what the client hears if no thinking can be left out
    stripped: bool | None  # what had been left out: all thinking (True), foreign, nothing (None)


def replaced_fields(fields: Fields, retry_after_s: int | None) -> list[tuple[bytes, bytes]]:
    """Header fields of an error with the relay's own `retry-after`; None: the provider's stays."""
    if retry_after_s is None:
        return list(fields)
    is_soon = retry_after_s <= RETRY_AFTER_MAX_S
    replaced = _REPLACED if is_soon else _REPLACED - {b"x-should-retry"}
    kept = [field for field in fields if field[0] not in replaced]
    return [*kept, (b"retry-after", b"%d" % retry_after_s)]


def render_error(
    reply: ErrorReply, retry_after_s: int | None, keep_alive: bool, extra: Fields
) -> bytes:
    """A provider's error as an HTTP response. `retry_after_s` replaces its `retry-after`."""
    if reply.head is None:
        fields = replaced_fields(reply.fields, retry_after_s)
        return json_response(reply.status, reply.body, [*fields, *extra], keep_alive)
    lines = b"".join(b"%b: %b\r\n" % field for field in extra)
    length, length_framing = len(reply.body), int(Framing.LENGTH)
    if retry_after_s is None:
        return (
            render_response(reply.head, length_framing, length, keep_alive, lines, reply.plain)
            + reply.body
        )
    lines += b"retry-after: %d\r\n" % retry_after_s
    data = render_response(reply.head, length_framing, length, keep_alive, b"", reply.plain)
    top, _, rest = _RETRY_AFTER.sub(b"", data).partition(b"\r\n")
    return top + b"\r\n" + lines + rest + reply.body
