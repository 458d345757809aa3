"""Ids of Claude models on the clouds, as data: first-party name to id, and back.

    claude-sonnet-4-5  ->  us.anthropic.claude-sonnet-4-5-20250929-v1:0   bedrock, us-east-1
                           anthropic.claude-sonnet-4-5                    bedrock, api mantle
                           claude-sonnet-4-5@20250929                     vertex
                           claude-sonnet-4-5                              azure, claude-aws, ...

`model_mapping` overrides it: what is mapped is sent as it is. Source: providers reference, sections
5.7 and 6.1, and what Claude Code sends to each cloud. Three shapes of Bedrock's ids coexist
(`-v1:0`, `-v1`, none), so this is a table and no rule; a model that the table does not know gets
the shape of the newest, or with a date that of the older ones.

Pure.
"""

import re
from functools import partial
from typing import NamedTuple

from ccrelay.config.cloud import is_cloud
from ccrelay.config.model import Provider
from ccrelay.wire.matching import ModelMatcher, strip_window

VENDOR = "anthropic."


class _Row(NamedTuple):
    name: str  # the first party's, without date
    date: str = ""  # of the snapshot, in the ids of models up to 4.5
    version: str = ""  # of Bedrock's id


_ROWS = (
    _Row("claude-opus-5-5"),
    _Row("claude-opus-5"),
    _Row("claude-opus-4-8"),
    _Row("claude-opus-4-7"),
    _Row("claude-opus-4-6", version="-v1"),
    _Row("claude-opus-4-5", "20251101", "-v1:0"),
    _Row("claude-opus-4-1", "20250805", "-v1:0"),
    _Row("claude-sonnet-5-5"),
    _Row("claude-sonnet-5"),
    _Row("claude-sonnet-4-6"),
    _Row("claude-sonnet-4-5", "20250929", "-v1:0"),
    _Row("claude-haiku-5-5"),
    _Row("claude-haiku-4-5", "20251001", "-v1:0"),
    _Row("claude-fable-5"),
    _Row("claude-fable-5-1"),
    _Row("claude-mythos-5"),
    _Row("claude-mythos-5-1"),
    _Row("claude-mythos-preview"),
)
_KNOWN = {row.name: row for row in _ROWS}

# What a region's name starts with -> the profiles that may be used there. Newer models have none
# for the rest of Asia (`apac.`), South America, the Middle East and Africa: there it is `global.`.
_GEO = (
    ("us-gov-", "us-gov."),
    ("us-", "us."),
    ("ca-", "us."),
    ("eu-", "eu."),
    ("ap-northeast-1", "jp."),
    ("ap-northeast-3", "jp."),
    ("ap-southeast-2", "au."),
    ("ap-southeast-4", "au."),
)
_GLOBAL = "global."
# Partitions of their own, which `global.` does not reach.
_APART = ("us-gov-", "cn-", "us-iso", "eu-iso", "eusc-")

_NAME_MAX = 256  # characters

_PROFILE = re.compile(r"\A(?:global|us-gov|us|eu|apac|jp|au)\.(?=[a-z])")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:[^/]*/")
# Of these ARNs the last part is an id that says which model it is.
_TELLING_ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:[^:]*:[0-9]*:(?:foundation-model|inference-profile)/"
)
_VERSION = re.compile(r"-v[0-9]+(?::[0-9]+(?::[0-9]+k)?)?\Z")
_SNAPSHOT = re.compile(r"(?:@[0-9a-z.]+|-20[0-9]{6}|-latest)\Z")
_DATE = re.compile(r"[-@](20[0-9]{6})\Z")


def model_id(provider: Provider, model: str) -> str:
    """The id of a model at a provider, for its surface, region and inference profile.

    What is an id of that surface already is returned as it is; so is what is no Claude model.

    Args:
        provider: resolved.
        model: a first-party name, with a date or without, or an id of any cloud.
    """
    model = strip_window(model)
    match provider.type:
        case "bedrock" if provider.api == "mantle":
            return _mantle(model)
        case "bedrock":
            return _runtime(provider, model)
        case "vertex":
            return _vertex(model)
        case "azure":
            return first_party(model)  # deployments have the model's name by default
        case "claude-aws" | "claude-google":
            # They serve dated names, too.
            return model if model.startswith("claude-") and "@" not in model else first_party(model)
        case _:
            return model


def first_party(model_id: str) -> str:
    """The first-party name, without date, of what `model_id` makes; of any other id the id."""
    name = strip_window(model_id)
    if not _TELLING_ARN.match(name) and _ARN.match(name):
        return model_id  # of an application's profile, or provisioned throughput
    name = name.rpartition("/")[2]
    if len(name) > _NAME_MAX:
        return model_id  # a client's nonsense
    name = _PROFILE.sub("", name, count=1).removeprefix(VENDOR)
    whole = ""
    while name != whole:  # hostile names have many
        whole, name = name, _SNAPSHOT.sub("", _VERSION.sub("", name))
    return name if name.startswith("claude-") else model_id


def known_names() -> tuple[str, ...]:
    """The first-party names of the table."""
    return tuple(_KNOWN)


def is_known(model: str) -> bool:
    """Whether the table has a first-party name."""
    return model in _KNOWN


def profile_prefix(provider: Provider) -> str:
    """The prefix of Bedrock's ids: `us.`, `global.` and so on; empty: ids have none."""
    region = provider.region or ""
    kind = provider.inference_profile or "geo"
    if kind == "none":
        return ""
    is_apart = region.startswith(_APART)
    if kind == "geo":
        geo = next((prefix for start, prefix in _GEO if region.startswith(start)), "")
        if geo and not (is_apart and geo != "us-gov."):
            return geo
    return "" if is_apart else _GLOBAL


def matcher_of(provider: Provider) -> ModelMatcher:
    """What finds the model to send to a provider.

    Args:
        provider: resolved.
    """
    rename = partial(model_id, provider) if is_cloud(provider) else None
    return ModelMatcher(provider.model_mapping, provider.models or (), rename)


def _mantle(model: str) -> str:
    name = first_party(model)
    return VENDOR + name if name.startswith("claude-") else model


def _runtime(provider: Provider, model: str) -> str:
    if _ARN.match(model):
        return model
    profile = _PROFILE.match(model)
    base = model[profile.end() :] if profile else model
    if base.startswith(VENDOR) and _VERSION.search(base):
        return model
    name = first_party(base)
    if not name.startswith("claude-"):
        return model
    return (profile[0] if profile else profile_prefix(provider)) + _base_id(base, name)


def _base_id(base: str, name: str) -> str:
    """Bedrock's id without profile."""
    row = _KNOWN.get(name)
    date = _DATE.search(base)
    if row is None and date is not None:
        row = _Row(name, date[1], "-v1:0")
    if row is None:
        row = _Row(name)
    day = f"-{row.date}" if row.date else ""
    return f"{VENDOR}{name}{day}{row.version}"


def _vertex(model: str) -> str:
    if "@" in model:
        return model
    name = first_party(model)
    if not name.startswith("claude-"):
        return model
    row = _KNOWN.get(name)
    date = _DATE.search(_VERSION.sub("", model))
    day = row.date if row is not None else date[1] if date is not None else ""
    return f"{name}@{day}" if day else name
