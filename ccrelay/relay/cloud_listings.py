"""What AWS lists, answered from the relay's own models: inference profiles and foundation models.

Claude Code asks for them in its Bedrock mode: for all profiles when it starts, and for one before
it counts tokens, since AWS counts for the base model that `models[].modelArn` names.
"""

import msgspec

from ccrelay.config.model import Provider
from ccrelay.errors import NotFound
from ccrelay.providers.cloud_models import first_party, model_id
from ccrelay.relay.cloud_paths import profile_id
from ccrelay.wire.models import CREATED_AT, ModelEntry

# Of a profile that is everywhere; the relay is in no region.
_PREFIX = "global."
_PREFIXES = ("global.", "us.", "eu.", "apac.", "jp.", "au.", "us-gov.")
_MODEL_ARN = "arn:aws:bedrock:us-east-1::foundation-model/"
_PROFILE_ARN = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/"
_VENDOR = "anthropic."
# Whose ids are those of foundation models.
_BEDROCK = Provider(name="aws", type="bedrock", api="invoke", inference_profile="none")
_ENCODER = msgspec.json.Encoder()


def aws_list(entries: list[ModelEntry], path: bytes, query: bytes) -> bytes:
    """JSON for `/inference-profiles`, `/inference-profiles/{id}` or `/foundation-models`.

    Args:
        entries: the relay's models.
        path: as received.
        query: as received; the relay's lists are short, and have one page.

    Raises:
        NotFound: no such profile.
        BadRequest: the id is none.
    """
    if path == b"/foundation-models":
        return _ENCODER.encode({"modelSummaries": [_model(name) for name in _names(entries)]})
    asked = profile_id(path)
    if asked:
        return _ENCODER.encode(_profile(asked))
    found = [] if b"APPLICATION" in query else [_profile(_PREFIX + n) for n in _names(entries)]
    return _ENCODER.encode({"inferenceProfileSummaries": found})


def _names(entries: list[ModelEntry]) -> list[str]:
    """Base ids of the models that are Claude's."""
    ids = (model_id(_BEDROCK, entry.id) for entry in entries)
    return list(dict.fromkeys(found for found in ids if found.startswith(_VENDOR)))


def _profile(profile: str) -> dict[str, object]:
    prefix = next((p for p in _PREFIXES if profile.startswith(p)), "")
    base = profile[len(prefix) :]
    if not base.startswith(_VENDOR):  # an account's own profile: which model it is, AWS knows
        raise NotFound("The inference profile is not one of the system's.")
    return {
        "inferenceProfileId": profile,
        "inferenceProfileName": first_party(base),
        "inferenceProfileArn": _PROFILE_ARN + profile,
        "models": [{"modelArn": _MODEL_ARN + base}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
        "createdAt": CREATED_AT,
        "updatedAt": CREATED_AT,
    }


def _model(base: str) -> dict[str, object]:
    return {
        "modelId": base,
        "modelArn": _MODEL_ARN + base,
        "modelName": first_party(base),
        "providerName": "Anthropic",
        "inputModalities": ["TEXT", "IMAGE"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": True,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["INFERENCE_PROFILE"],
        "modelLifecycle": {"status": "ACTIVE"},
    }
