"""Paths of the mock clouds: which operation a request is. Pure.

A path that a cloud does not have gets that cloud's own 404.
"""

import re
from typing import Literal
from urllib.parse import unquote

import msgspec

from ccrelay.demo.cloud import Cloud, Surface
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.http1 import RequestHead

Operation = Literal[
    "messages", "count", "profiles", "profile", "foundation_models", "models", "unsupported"
]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for.

    Args:
        operation: which; `unsupported` exists on AWS, but not for Claude.
        surface: where.
        target: model id, profile or ARN of the path, decoded; empty: the body has it.
        stream: by the path; None: the body says it.
        project, location: of a path of Google's.
    """

    operation: Operation
    surface: Surface
    target: str = ""
    stream: bool | None = None
    project: str = ""
    location: str = ""


_INVOKE = re.compile(r"/model/([^/]+)/(invoke|invoke-with-response-stream|count-tokens)")
_CONVERSE = re.compile(r"/model/([^/]+)/(converse|converse-stream)")
_PROFILE = re.compile(r"/inference-profiles/([^/]+)")
_VERTEX = re.compile(
    r"/v1/projects/([^/]+)/locations/([^/]+)/publishers/anthropic/models/"
    r"([^/]+):(rawPredict|streamRawPredict)"
)
_GOOGLE = re.compile(r"/v1/projects/([^/]+)/locations/([^/]+)/workspaces/([^/]+)/invoke(/v1/.+)")


def route(cloud: Cloud, head: RequestHead) -> Call:
    """Return the operation of a request. Raises CloudError: 404, 405."""
    surface = cloud.surfaces[0]
    match surface:
        case Surface.INVOKE:
            call = _invoke(head)
        case Surface.VERTEX:
            call = _vertex(head)
        case Surface.CLAUDE_GOOGLE:
            call = _claude_google(head)
        case Surface.CLAUDE_AWS:
            call = _plain(surface, head, "")
        case Surface.AZURE:
            call = _plain(surface, head, "/anthropic")
        case _:
            call = _plain(_bedrock_surface(cloud, head), head, "/anthropic")
    if call is None:
        raise _not_found(surface, head)
    return call


def is_stream_verb(head: RequestHead) -> bool:
    """Whether a path is Google's stream verb, whose errors are arrays."""
    return head.path.endswith(":streamRawPredict")


def _invoke(head: RequestHead) -> Call | None:
    path, surface = head.path, Surface.INVOKE
    if head.method == "POST" and (found := _INVOKE.fullmatch(path)):
        operation: Operation = "count" if found[2] == "count-tokens" else "messages"
        stream = found[2] == "invoke-with-response-stream"
        return Call(operation=operation, surface=surface, target=_decode(found[1]), stream=stream)
    if head.method == "POST" and (found := _CONVERSE.fullmatch(path)):
        return Call(operation="unsupported", surface=surface, target=_decode(found[1]))
    if head.method != "GET":
        return None
    if path == "/inference-profiles":
        return Call(operation="profiles", surface=surface)
    if path == "/foundation-models":
        return Call(operation="foundation_models", surface=surface)
    if found := _PROFILE.fullmatch(path):
        return Call(operation="profile", surface=surface, target=_decode(found[1]))
    return None


def _vertex(head: RequestHead) -> Call | None:
    found = _VERTEX.fullmatch(head.path)
    if head.method != "POST" or found is None:
        return None
    target, streamed = _decode(found[3]), found[4] == "streamRawPredict"
    counts = target == "count-tokens" and not streamed
    return Call(
        operation="count" if counts else "messages",
        surface=Surface.VERTEX,
        target="" if counts else target,
        stream=streamed,
        project=_decode(found[1]),
        location=_decode(found[2]),
    )


def _claude_google(head: RequestHead) -> Call | None:
    found = _GOOGLE.fullmatch(head.path)
    operation = _operation(head.method, found[4]) if found else None
    if found is None or operation is None:
        return None
    return Call(
        operation=operation,
        surface=Surface.CLAUDE_GOOGLE,
        project=_decode(found[1]),
        location=_decode(found[2]),
    )


def _plain(surface: Surface, head: RequestHead, prefix: str) -> Call | None:
    if not head.path.startswith(prefix):
        return None
    operation = _operation(head.method, head.path[len(prefix) :])
    if operation is None or (operation == "models" and surface is not Surface.CLAUDE_AWS):
        return None
    return Call(operation=operation, surface=surface)


def _operation(method: str, path: str) -> Operation | None:
    """Return the operation of a path of Anthropic's; None: it is not served."""
    found: dict[tuple[str, str], Operation] = {
        ("POST", "/v1/messages"): "messages",
        ("POST", "/v1/messages/count_tokens"): "count",
        ("GET", "/v1/models"): "models",
    }
    return found.get((method, path))


def _bedrock_surface(cloud: Cloud, head: RequestHead) -> Surface:
    """Tell bedrock-mantle from bedrock-runtime, whose paths are alike, without a host's name."""
    if Surface.RUNTIME not in cloud.surfaces:
        return Surface.MANTLE
    authorization, host = head.get("authorization") or "", head.get("host") or ""
    if "/bedrock/aws4_request" in authorization or "bedrock-runtime" in host:
        return Surface.RUNTIME
    return Surface.MANTLE


def _decode(segment: str) -> str:
    return unquote(segment)


def _not_found(surface: Surface, head: RequestHead) -> CloudError:
    if surface.is_aws:
        problem = f"Unknown operation: {head.method} {head.path}"
        return CloudError(problem, name="UnknownOperationException")
    if surface.is_google:
        problem = f"The requested URL {head.path} was not found on this server."
        return CloudError(problem, name="NOT_FOUND")
    return CloudError(name="404")
