"""Model lists of the mock clouds: inference profiles and foundation models of Bedrock. Pure."""

import urllib.parse
from typing import Any

import msgspec

from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_models import MODELS, PREFIXES, Model

ACCOUNT = "123456789012"
PAGE_DEFAULT = 100  # entries; the service has up to 1000
_GEOGRAPHIES = ("us", "eu", "apac", "jp", "au")


def profiles(region: str, target: str) -> bytes:
    """Return the answer to `GET /inference-profiles`, with `type`, `maxResults`, `nextToken`."""
    query = dict(urllib.parse.parse_qsl(target.partition("?")[2]))
    found = [] if query.get("type") == "APPLICATION" else _all(region)
    start, size = _number(query.get("nextToken", "0")), _number(query.get("maxResults", "0"))
    end = start + (size or PAGE_DEFAULT)
    page: dict[str, Any] = {"inferenceProfileSummaries": found[start:end]}
    if end < len(found):
        page["nextToken"] = str(end)
    return msgspec.json.encode(page)


def profile(region: str, profile_id: str) -> bytes:
    """Return the answer to `GET /inference-profiles/{id}`. Raises CloudError."""
    kind, _, wanted = profile_id.rpartition("/")
    if kind.endswith(":application-inference-profile"):
        made = _summary(region, "global", MODELS["claude-opus-5-5"])
        own = {"inferenceProfileArn": profile_id, "inferenceProfileId": wanted}
        return msgspec.json.encode(made | own | {"type": "APPLICATION"})
    for found in _all(region):
        if found["inferenceProfileId"] == wanted:
            return msgspec.json.encode(found)
    raise CloudError(
        "The provided inference profile was not found.", name="ResourceNotFoundException"
    )


def foundation_models(region: str) -> bytes:
    """Return the answer to `GET /foundation-models`."""
    return msgspec.json.encode(
        {"modelSummaries": [_foundation(region, model) for model in MODELS.values()]}
    )


def _all(region: str) -> list[dict[str, Any]]:
    prefixes = [
        prefix
        for prefix in ("global", *_GEOGRAPHIES)
        if region.startswith(PREFIXES[prefix]) and not region.startswith("us-gov-")
    ]
    if region.startswith("us-gov-"):
        prefixes = ["us-gov"]
    return [_summary(region, prefix, model) for prefix in prefixes for model in MODELS.values()]


def _summary(region: str, prefix: str, model: Model) -> dict[str, Any]:
    profile_id = f"{prefix}.{model.base}"
    return {
        "inferenceProfileName": f"{prefix.upper()} {model.name}",
        "description": f"Routes requests to {model.name} in {prefix}.",
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
        "inferenceProfileArn": f"arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{profile_id}",
        "models": [{"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model.base}"}],
        "inferenceProfileId": profile_id,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _foundation(region: str, model: Model) -> dict[str, Any]:
    return {
        "modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model.base}",
        "modelId": model.base,
        "modelName": model.name,
        "providerName": "Anthropic",
        "inputModalities": ["TEXT", "IMAGE"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": True,
        "inferenceTypesSupported": ["INFERENCE_PROFILE"],
        "modelLifecycle": {"status": "ACTIVE"},
    }


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise CloudError("Invalid pagination parameters.", name="ValidationException")
    return int(text)
