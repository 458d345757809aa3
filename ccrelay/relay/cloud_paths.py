"""The paths that clients of clouds ask for: what a request is, by its method and path alone.

    Bedrock                 /model/{id}/invoke, .../invoke-with-response-stream, .../count-tokens,
                            /inference-profiles[/{id}], /foundation-models
    Vertex AI               {place}/publishers/anthropic/models/{m}:rawPredict and
                            :streamRawPredict; {m} is `count-tokens` for that
    Claude on Google Cloud  {place}/workspaces/{w}/invoke/v1/...
    Foundry, bedrock-mantle /anthropic/v1/...

with {place} for [/v1]/projects/{p}/locations/{l}.

The last two have Anthropic's own form below a prefix, which is cut off here. Of the first two the
body differs, too (`cloud_ingress`). Nothing of such a path goes upstream: a model's id becomes the
`model` of the body, everything else of it means nothing to the relay.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ccrelay.errors import BadRequest, MethodNotAllowed, NotFound
from ccrelay.types import RequestClass

_AWS_PREFIXES = (b"/model/", b"/inference-profiles", b"/foundation-models")

BEDROCK = "bedrock"
VERTEX = "vertex"
MESSAGES = "messages"  # Anthropic's form below a prefix
LISTING = "listing"  # what AWS lists

# Ids of models, inference profiles and deployments; ARNs have up to 2,048 characters.
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,2047}")
# An ARN has a slash, which some clients leave as it is.
_BEDROCK = re.compile(rb"/model/([^/]+|arn:[^/]+(?:/[^/]+){1,2})/([a-z-]+)")
_PLACE = rb"(?:/v1)?/projects/[^/]+/locations/[^/]+"
_VERTEX = re.compile(
    _PLACE + rb"/publishers/anthropic/models/([^/]+)(?::|%3[Aa])(rawPredict|streamRawPredict)"
)
_PREFIXED = re.compile(rb"(?:/anthropic|" + _PLACE + rb"/workspaces/[^/]+/invoke)(/v1/.+)")
_PROFILE = re.compile(rb"/inference-profiles/([^/]+)")
_LISTS = (b"/inference-profiles", b"/foundation-models")
_INVOKE = {b"invoke": False, b"invoke-with-response-stream": True}
# What of Anthropic's API is served below a prefix: batches and files belong to an account.
_SERVED = re.compile(rb"/v1/(?:messages|messages/count_tokens|models|models/[^/]+)")


class CloudRequest(NamedTuple):
    """What a request in a cloud's form is, as far as its path tells."""

    form: str  # BEDROCK, VERTEX, MESSAGES or LISTING
    kind: RequestClass = RequestClass.MESSAGES
    model: str = ""  # by its id there; empty: the body names it
    stream: bool = False  # the path asks for a stream
    path: bytes = b""  # MESSAGES: what follows the prefix; LISTING: the path


def is_aws(path: bytes) -> bool:
    """Whether a client of this path reads errors in AWS's shape."""
    return path.startswith(_AWS_PREFIXES)


def find(method: bytes, path: bytes) -> CloudRequest:
    """What a request is whose path begins with one of `api_endpoints.CLOUD_PREFIXES`.

    Raises:
        NotFound: nothing is served at this path.
        MethodNotAllowed: it is served for other methods.
        BadRequest: the id of the model is none.
    """
    if found := _PREFIXED.fullmatch(path):
        if not _SERVED.fullmatch(found[1]):
            raise _nothing_here()
        return CloudRequest(MESSAGES, path=found[1])
    if path in _LISTS or _PROFILE.fullmatch(path):
        _check_method(method, b"GET")
        return CloudRequest(LISTING, path=path)
    found = _BEDROCK.fullmatch(path)
    if found is None:
        return _vertex(method, path)
    verb = found[2]
    if verb in (b"converse", b"converse-stream"):
        raise NotFound("The relay does not serve Converse: use InvokeModel.")
    if verb not in _INVOKE and verb != b"count-tokens":
        raise _nothing_here()
    _check_method(method, b"POST")
    kind = RequestClass.MESSAGES if verb in _INVOKE else RequestClass.COUNT_TOKENS
    return CloudRequest(BEDROCK, kind, model_id(found[1]), _INVOKE.get(verb, False))


def _vertex(method: bytes, path: bytes) -> CloudRequest:
    found = _VERTEX.fullmatch(path)
    if found is None:
        raise _nothing_here()
    _check_method(method, b"POST")
    if found[1] == b"count-tokens":
        return CloudRequest(VERTEX, RequestClass.COUNT_TOKENS)
    stream = found[2] == b"streamRawPredict"
    return CloudRequest(VERTEX, RequestClass.MESSAGES, model_id(found[1]), stream)


def model_id(segment: bytes) -> str:
    """The id that a segment of a path spells.

    Raises:
        BadRequest: it is no id.
    """
    text = unquote_to_bytes(segment).decode("latin-1")
    dots = {".", ".."} & set(text.split("/"))
    if dots or _MODEL.fullmatch(text) is None:
        raise BadRequest("The provided model identifier is invalid.")
    return text


def profile_id(path: bytes) -> str:
    """The id in the path of one inference profile; empty: it is the path of a list.

    Raises:
        BadRequest: it is no id.
    """
    found = _PROFILE.fullmatch(path)
    return model_id(found[1]) if found is not None else ""


def _check_method(method: bytes, allowed: bytes) -> None:
    if method != allowed:
        raise MethodNotAllowed(f"Use {allowed.decode()} for this path.", allow=allowed)


def _nothing_here() -> NotFound:
    return NotFound(
        "There is nothing at this path. Of Bedrock the relay serves /model/{id}/invoke, "
        "invoke-with-response-stream and count-tokens, of Vertex AI rawPredict and "
        "streamRawPredict, below /anthropic the Messages API."
    )
