"""What a probe of a provider sends: the smallest requests that show whether it works."""

from typing import Literal, NamedTuple

from ccrelay import __version__
from ccrelay.providers.base import Bridged, Dialect, Outgoing
from ccrelay.types import RequestClass
from ccrelay.wire.bodies import json_string
from ccrelay.wire.matching import is_glob

ProbeRequest = Literal["count_tokens", "message"]
"""count_tokens is free of charge; a message has one token and costs about ten."""

_BODIES: dict[ProbeRequest, bytes] = {
    "count_tokens": b'{"model":%b,"messages":[{"role":"user","content":"ping"}]}',
    "message": b'{"model":%b,"max_tokens":1,"messages":[{"role":"user","content":"ping"}]}',
}
_KNOWN = ("claude-haiku-4-5", "glm-4.6")
_PATHS: dict[ProbeRequest, bytes] = {
    "count_tokens": b"/v1/messages/count_tokens",
    "message": b"/v1/messages",
}

_CLASSES: dict[ProbeRequest, RequestClass] = {
    "count_tokens": RequestClass.COUNT_TOKENS,
    "message": RequestClass.MESSAGES,
}
_LIST = b"/v1/models?limit=1000"
_VERSION = b"2023-06-01"


class ProbeSent(NamedTuple):
    """A probe as it is sent."""

    path: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes


def probe_model(dialect: Dialect, wanted: str | None) -> str | None:
    """The model to name in a probe, as the provider knows it; None: none is known.

    Args:
        dialect: of the provider.
        wanted: as a client would ask for it, such as `health.probe_model`; None: the first that
            the provider serves by name.
    """
    if wanted is not None:
        return dialect.matcher.resolve(wanted) or wanted
    return first_model(dialect)


def countable_model(dialect: Dialect) -> str | None:
    """A model whose tokens can be counted to show a key, where none is served by name; or None.

    Counting is free, and the key is looked at before the model: one that does not exist there tells
    as much. Not for messages, whose answer such a model would spoil.
    """
    known = (dialect.matcher.resolve(name) for name in _KNOWN)
    return next((name for name in known if name is not None), None)


def first_model(dialect: Dialect) -> str | None:
    """The first model that it serves by name, as it is sent."""
    provider = dialect.provider
    names = [m if isinstance(m, str) else m.id for m in provider.models or ()]
    own = next((name for name in names if not is_glob(name)), None)
    if own is not None:
        return dialect.matcher.resolve(own) or own
    return next((name for name in provider.model_mapping.values() if not is_glob(name)), None)


def keyed_probe(dialect: Dialect, kind: ProbeRequest, model: str, key: str | None) -> ProbeSent:
    """A probe with a key, or without one; for a cloud in its own form.

    Raises:
        ValueError: the key cannot be sent.
        BadRequest: the cloud cannot be asked that.
    """
    if dialect.bridges:
        bridged = bridged_probe(dialect, kind, model)
        return cloud_probe(dialect, bridged, dialect.credential_lines(key))
    body = probe_body(kind, model)
    return ProbeSent(probe_path(dialect, kind), probe_fields(dialect, key, body), body)


def bridged_probe(dialect: Dialect, kind: ProbeRequest, model: str) -> Bridged:
    """A probe as a cloud takes it, but for the credential.

    Raises:
        BadRequest: the cloud cannot be asked that.
    """
    body = probe_body(kind, model)
    return dialect.bridge(Outgoing(body, model, _CLASSES[kind], stream=False, version=_VERSION))


def cloud_probe(
    dialect: Dialect, bridged: Bridged, credential: list[tuple[bytes, bytes]]
) -> ProbeSent:
    """A bridged probe with the header fields of its credential."""
    fields = [
        (b"host", dialect.host()),
        (b"accept-encoding", b"identity"),
        (b"connection", b"close"),
        (b"user-agent", f"ccrelay/{__version__}".encode()),
        *bridged.lines,
        *credential,
        (b"content-length", b"%d" % len(bridged.body)),
        *dialect.static_headers,
    ]
    return ProbeSent(dialect.prefix() + bridged.path, fields, bridged.body)


def probe_path(dialect: Dialect, kind: ProbeRequest) -> bytes:
    """The request target."""
    return dialect.prefix() + _PATHS[kind]


def probe_body(kind: ProbeRequest, model: str) -> bytes:
    """The body."""
    return _BODIES[kind] % bytes(json_string(model))


def keyed_list(dialect: Dialect, key: str | None) -> ProbeSent:
    """A request for the list of models, with a key or without; raises as `keyed_probe`."""
    return ProbeSent(dialect.prefix() + _LIST, _fields(dialect, key, []), b"")


def probe_fields(dialect: Dialect, key: str | None, body: bytes) -> list[tuple[bytes, bytes]]:
    """The header fields.

    Raises:
        ValueError: the key cannot be sent.
    """
    framing = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return _fields(dialect, key, framing)


def _fields(
    dialect: Dialect, key: str | None, framing: list[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    own = [
        (b"host", dialect.host()),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
        (b"connection", b"close"),
        (b"user-agent", f"ccrelay/{__version__}".encode()),
        (b"anthropic-version", _VERSION),
        *dialect.credential_lines(key),
    ]
    given = [field for field in own if field[0] not in dialect.drop_names]
    return [*given, *framing, *dialect.static_headers]
