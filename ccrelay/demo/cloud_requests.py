"""Reads a request to a mock cloud: checks it as the cloud does, returns it in Anthropic's form."""

import base64
import binascii
import datetime
from typing import Any

import msgspec

from ccrelay.demo.cloud import Cloud, Surface
from ccrelay.demo.cloud_auth import authenticate
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_flags import check_flags
from ccrelay.demo.cloud_members import check_members
from ccrelay.demo.cloud_models import (
    PREFIXES,
    UNKNOWN,
    Model,
    base_model,
    invoke_model,
    model_in_body,
    vertex_model,
)
from ccrelay.demo.cloud_routes import Call
from ccrelay.demo.http1 import RequestHead

BYTES_MAX: dict[Surface, int] = {
    Surface.INVOKE: 20 << 20,
    Surface.RUNTIME: 20 << 20,
    Surface.MANTLE: 20 << 20,
    Surface.VERTEX: 30 << 20,
}
# Versions of the API by surface: in the header, or in the body.
HEADER_VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")
BODY_VERSIONS: dict[Surface, tuple[str, ...]] = {
    Surface.INVOKE: ("bedrock-2023-05-31", "2026-10-21"),
    Surface.VERTEX: ("vertex-2023-10-16", "2026-10-21"),
}


class CloudRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted request.

    Args:
        model: which model answers.
        name: of the model, for the answer.
        body: in Anthropic's form.
    """

    model: Model
    name: str
    body: bytes


def settle_surface(cloud: Cloud, call: Call, head: RequestHead, body: bytes) -> Call:
    """Return the call with its surface, where only the body tells which host is meant.

    With a key there is no signature that names the service; a profile's prefix is of runtime.
    """
    is_signed = (head.get("authorization") or "").startswith("AWS4-")
    if Surface.RUNTIME not in cloud.surfaces or is_signed:
        return call
    model = _object_or_empty(body).get("model")
    prefix = model.partition(".")[0] if isinstance(model, str) else ""
    return msgspec.structs.replace(call, surface=Surface.RUNTIME) if prefix in PREFIXES else call


def read_messages(
    cloud: Cloud, call: Call, head: RequestHead, body: bytes, text: bytes, now: datetime.datetime
) -> CloudRequest:
    """Read a request for an answer.

    Args:
        body: as received, which a signature is over.
        text: the same without content coding.

    Raises:
        CloudError: the cloud refuses it.
    """
    region = authenticate(cloud, call, head, body, now)
    plain = _read_object(call.surface, text)
    model, name = _find_model(cloud, call, plain, region)
    _check_access(cloud, call.surface, model)
    _check_version(call.surface, model, head, plain)
    if cloud.strict:
        _check(call.surface, model, head, plain, counts=False)
    stream = call.stream if call.surface is Surface.INVOKE else plain.get("stream")
    whole = {"model": name, **_without_own(plain), "stream": bool(stream)}
    return CloudRequest(model=model, name=name, body=msgspec.json.encode(whole))


def read_count(
    cloud: Cloud, call: Call, head: RequestHead, body: bytes, text: bytes, now: datetime.datetime
) -> CloudRequest:
    """Read a request that counts tokens. Arguments and errors as of `read_messages`."""
    region = authenticate(cloud, call, head, body, now)
    plain = _read_object(call.surface, text)
    if call.surface is Surface.INVOKE:
        model, plain = base_model(call.target), _read_inner(plain)
        if "max_tokens" not in plain:
            raise CloudError("max_tokens: Field required")
        name = model.name
    else:
        model, name = _find_model(cloud, call, plain, region)
    _check_access(cloud, call.surface, model)
    if call.surface is not Surface.VERTEX:  # which asks for none here
        _check_version(call.surface, model, head, plain)
    if cloud.strict:
        _check(call.surface, model, head, plain, counts=True)
    whole = {"model": name, **_without_own(plain)}
    return CloudRequest(model=model, name=name, body=msgspec.json.encode(whole))


def _find_model(
    cloud: Cloud, call: Call, plain: dict[str, Any], region: str | None
) -> tuple[Model, str]:
    if call.surface is Surface.INVOKE:
        model = invoke_model(call.target, region)
    elif call.surface is Surface.VERTEX and call.target:
        model = vertex_model(call.target, call.location)
    else:
        given = plain.get("model")
        if not isinstance(given, str) or not given:
            raise CloudError("model: Field required")
        model = model_in_body(call.surface, given, region, cloud.deployments)
        return model, given if call.surface is Surface.AZURE else model.first_party
    return model, "claude-unknown" if model is UNKNOWN else model.first_party


def _check_access(cloud: Cloud, surface: Surface, model: Model) -> None:
    if model.name not in cloud.denied:
        return
    if surface.is_aws:
        raise CloudError(name="AccessDeniedException")
    if surface.is_google:
        raise CloudError(name="PERMISSION_DENIED")
    raise CloudError(name="PermissionDenied")


def _check_version(
    surface: Surface, model: Model, head: RequestHead, plain: dict[str, Any]
) -> None:
    known = BODY_VERSIONS.get(surface)
    if known is None:
        version = head.get("anthropic-version")
        if version is None:
            raise CloudError("anthropic-version: header is required")
        if version not in HEADER_VERSIONS:
            raise CloudError(f'anthropic-version: "{version}" is not a valid version')
        return
    if "anthropic_version" not in plain:
        raise CloudError("anthropic_version: Field required")
    if surface is Surface.INVOKE and model.is_v1_0:
        known = known[:1]
    if plain["anthropic_version"] not in known:
        words = " or ".join(f"'{version}'" for version in known)
        raise CloudError(f"anthropic_version: Input should be {words}")


def _check(
    surface: Surface, model: Model, head: RequestHead, plain: dict[str, Any], *, counts: bool
) -> None:
    flags = [
        flag.strip()
        for value in head.all("anthropic-beta")
        for flag in value.split(",")
        if flag.strip()
    ]
    in_force = list(flags)
    if surface is Surface.INVOKE:
        listed = plain.get("anthropic_beta", [])
        if not isinstance(listed, list) or not all(isinstance(flag, str) for flag in listed):
            raise CloudError("anthropic_beta: Input should be a valid list")
        flags, in_force = flags + listed, listed  # what the header says is not in force here
    check_flags(surface, model, flags, counts=counts)
    check_members(surface, model, plain, frozenset(in_force), counts=counts)


def _read_object(surface: Surface, body: bytes) -> dict[str, Any]:
    most = BYTES_MAX.get(surface)
    if most is not None and len(body) > most:
        if surface.is_google:
            problem = f"Request payload size exceeds the limit: {most} bytes."
            raise CloudError(problem, name="INVALID_ARGUMENT")
        raise CloudError("Request body too large", name="RequestEntityTooLargeException")
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CloudError(f"The request body cannot be read: {error}") from None


def _read_inner(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the request inside a CountTokens request."""
    try:
        text = plain["input"]["invokeModel"]["body"]
        return _read_object(Surface.INVOKE, base64.b64decode(text, validate=True))
    except (KeyError, TypeError, binascii.Error):
        raise CloudError("input.invokeModel.body: Field required") from None


def _object_or_empty(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _without_own(plain: dict[str, Any]) -> dict[str, Any]:
    own = ("anthropic_version", "anthropic_beta", "model", "stream")
    return {name: value for name, value in plain.items() if name not in own}
