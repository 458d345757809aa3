"""Where the APIs of the clouds are, and what tells their credentials apart. Pure.

Sources: the base URLs of Anthropic's SDK 2.14 for the clouds, partitions of botocore 1.44.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ccrelay.config.model import BedrockApi, Config, Credential, Key, Model, Provider, ProviderType

AWS_TYPES: frozenset[ProviderType] = frozenset({"bedrock", "claude-aws"})
GOOGLE_TYPES: frozenset[ProviderType] = frozenset({"vertex", "claude-google"})
CLOUD_TYPES: frozenset[ProviderType] = AWS_TYPES | GOOGLE_TYPES | {"azure"}

# Member -> the types that have it.
MEMBERS: dict[str, frozenset[ProviderType]] = {
    "region": AWS_TYPES,
    "location": GOOGLE_TYPES,
    "project": GOOGLE_TYPES,
    "workspace": AWS_TYPES | {"claude-google"},
    "resource": frozenset({"azure"}),
    "api": frozenset({"bedrock"}),
    "inference_profile": frozenset({"bedrock"}),
}

REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
PROJECT_VARIABLES: dict[ProviderType, tuple[str, ...]] = {
    "vertex": ("ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"),
    "claude-google": ("ANTHROPIC_GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT"),
}
PLACE_VARIABLES = frozenset(REGION_VARIABLES).union(*PROJECT_VARIABLES.values())

DEFAULT_CHAIN = "default chain"
IDENTITY_PREFIX = "credential:"

# Multi-regions have hosts of their own kind; a region of one name would be taken for a host.
_MULTI_REGIONS = frozenset({"us", "eu"})


class Partition(NamedTuple):
    """The DNS suffixes of a partition of AWS."""

    regions: str  # what the names of its regions start with
    suffix: str
    dual_stack: str


_PARTITIONS = (
    Partition("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    Partition("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    Partition("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    Partition("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    Partition("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    Partition("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    Partition("", "amazonaws.com", "api.aws"),
)

# What only the runtime's API serves: ARNs, profiles of regions, and ids with a version.
_RUNTIME_ID = re.compile(
    r"arn:aws|(?:global|us-gov|us|eu|apac|jp|au)\.|anthropic\..*-v[0-9]+(?::[0-9]+\S*)?\Z"
)


def is_cloud(provider: Provider) -> bool:
    """Whether the provider is a cloud's: it has a bridge, and credentials besides API keys."""
    return provider.type in CLOUD_TYPES


def has_cloud_members(provider: Provider) -> bool:
    """Whether a provider of any type has members that only clouds have."""
    return any(getattr(provider, name) is not None for name in MEMBERS) or any(
        key.credential is not None for key in provider.keys
    )


def needs_credential(provider: Provider) -> bool:
    """Whether an enabled cloud provider uses credentials besides API keys."""
    if not (provider.enabled and is_cloud(provider)):
        return False
    return not provider.keys or any(
        key.enabled and key.credential is not None for key in provider.keys
    )


def partition_of(region: str) -> Partition:
    """The partition of a region of AWS."""
    return next(one for one in _PARTITIONS if region.startswith(one.regions))


def bedrock_api(provider: Provider) -> BedrockApi:
    """The surface of Bedrock, configured or default: mantle, unless a model named needs another."""
    if provider.api is not None:
        return provider.api
    own = [model.id if isinstance(model, Model) else model for model in provider.models or ()]
    named = [*own, *provider.model_mapping.values()]
    return "invoke" if any(_RUNTIME_ID.match(name) for name in named) else "mantle"


def cloud_base_url(provider: Provider) -> str | None:
    """The base URL of a cloud by region, location, resource and so on; None: one is missing."""
    if provider.type in AWS_TYPES:
        return _aws_base_url(provider)
    if provider.type == "vertex":
        return f"https://{vertex_host(location_of(provider))}"
    if provider.type == "claude-google":
        if not (provider.project and provider.workspace):
            return None
        return (
            f"https://claude.googleapis.com/v1/projects/{provider.project}/locations/"
            f"{location_of(provider)}/workspaces/{provider.workspace}/invoke"
        )
    if provider.type == "azure" and provider.resource:
        return f"https://{provider.resource}.services.ai.azure.com/anthropic"
    return None


def location_of(provider: Provider) -> str:
    """The location of Google, configured or default."""
    return provider.location or "global"


def vertex_host(location: str) -> str:
    """The host of Vertex AI for a region, a multi-region or `global`."""
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def own_base_url(provider: Provider) -> str | None:
    """The configured base URL of a cloud without what its variables may have at the end."""
    base_url = provider.base_url
    if base_url is None:
        return None
    # ANTHROPIC_VERTEX_BASE_URL ends in the version of the API.
    text = base_url.rstrip("/")
    return text.removesuffix("/v1") if provider.type == "vertex" else text


def identity_of(credential: Credential) -> str:
    """What tells a credential apart, in place of a key: no secret, and never sent."""
    members = {
        name: value
        for name in credential.__struct_fields__
        if name != "client_secret" and (value := getattr(credential, name)) is not None
    }
    return IDENTITY_PREFIX + msgspec.json.encode(members, order="sorted").decode()


def is_identity(key: str) -> bool:
    """Whether the key of a resolved entry is an identity, which must never be sent."""
    return key.startswith(IDENTITY_PREFIX)


def credential_name(credential: Credential) -> str:
    """How a credential without a name is shown."""
    if credential.impersonate:
        return credential.impersonate.partition("@")[0]
    if credential.role_arn:
        return credential.role_arn.rpartition("/")[2]
    for file in (credential.file, credential.certificate_file):
        if file:
            return file.replace("\\", "/").rstrip("/").rpartition("/")[2] or file
    named = credential.profile or credential.client_id or credential.tenant_id
    if named:
        return named
    return credential.source if credential.source not in (None, "default") else DEFAULT_CHAIN


def resolved_keys(provider: Provider) -> list[Key]:
    """The keys of a cloud: identities in place of keys, and the default chain if there are none."""
    return [_resolved(key) for key in provider.keys or [Key(credential=Credential())]]


def with_environment(config: Config, env: Mapping[str, str]) -> Config:
    """Take region and project of clouds that have none from the variables that SDKs read."""
    if not any(is_cloud(provider) for provider in config.providers):
        return config
    providers = [_with_place(provider, env) for provider in config.providers]
    return msgspec.structs.replace(config, providers=providers)


def _aws_base_url(provider: Provider) -> str | None:
    region = provider.region
    if not region:
        return None
    partition = partition_of(region)
    if provider.type == "claude-aws":
        return f"https://aws-external-anthropic.{region}.{partition.dual_stack}"
    if bedrock_api(provider) == "mantle":
        return f"https://bedrock-mantle.{region}.{partition.dual_stack}/anthropic"
    return f"https://bedrock-runtime.{region}.{partition.suffix}"


def _resolved(key: Key) -> Key:
    credential = key.credential
    if credential is None:
        return key
    name = credential_name(credential) if key.name is None else key.name
    return msgspec.structs.replace(key, key=identity_of(credential), name=name)


def _with_place(provider: Provider, env: Mapping[str, str]) -> Provider:
    if provider.type in AWS_TYPES and provider.region is None:
        return msgspec.structs.replace(provider, region=_first(env, REGION_VARIABLES))
    names = PROJECT_VARIABLES.get(provider.type, ())
    if names and provider.project is None:
        return msgspec.structs.replace(provider, project=_first(env, names))
    return provider


def _first(env: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((env[name] for name in names if env.get(name)), None)
