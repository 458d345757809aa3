"""Semantic checks of the clouds: where they are, and which credentials they are used with."""

import re

from ccrelay.config.cloud import (
    AWS_TYPES,
    CLOUD_TYPES,
    GOOGLE_TYPES,
    MEMBERS,
    PROJECT_VARIABLES,
    REGION_VARIABLES,
    bedrock_api,
    is_cloud,
    location_of,
)
from ccrelay.config.findings import Findings
from ccrelay.config.model import (
    Credential,
    CredentialSource,
    Key,
    Model,
    Provider,
    ProviderType,
)
from ccrelay.config.problems import Path

# They become parts of host names and paths.
_SHAPES = {
    "region": (re.compile(r"[a-z][a-z0-9-]*[a-z0-9]\Z"), "us-east-1"),
    "location": (re.compile(r"[a-z][a-z0-9-]*[a-z0-9]\Z"), "global, us, eu or europe-west1"),
    "project": (re.compile(r"[a-z0-9][a-z0-9.:-]*[a-z0-9]\Z"), "my-project-1"),
    "workspace": (re.compile(r"[A-Za-z0-9_-]+\Z"), "wrkspc_..."),
    "resource": (re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\Z"), "my-resource"),
}
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}\Z")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+\Z")
_E_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
# Served by single regions of Vertex AI: Claude up to 4.6 (providers reference, section 6.1).
_REGIONAL = re.compile(r"claude-(3|[a-z]+-4(-[0-6])?(?![0-9-]|-[0-9]{1,2}\Z))|claude-[a-z]+-4-20")
_DATED = re.compile(r"\Aclaude-.*-20[0-9]{6}\Z")

_Members = frozenset[str]
_AWS_MEMBERS: _Members = frozenset({"profile", "role_arn", "external_id"})
_GOOGLE_MEMBERS: _Members = frozenset({"file", "impersonate"})
_AZURE_MEMBERS: _Members = frozenset(
    {"tenant_id", "client_id", "client_secret", "certificate_file"}
)
_SOURCES: dict[str, frozenset[CredentialSource]] = {
    "AWS": frozenset(
        {"default", "env", "profile", "web-identity", "container", "metadata", "file"}
    ),
    "Google": frozenset({"default", "env", "file", "metadata"}),
    "Azure": frozenset({"default", "env", "secret", "certificate", "workload", "metadata", "cli"}),
}
# Member -> the source that it implies.
_IMPLIED: dict[str, CredentialSource] = {
    "profile": "profile",
    "file": "file",
    "client_secret": "secret",
    "certificate_file": "certificate",
}


def check_cloud(provider: Provider, path: Path, findings: Findings) -> None:
    """Check what a cloud needs, and that other types have none of it."""
    for name, types in MEMBERS.items():
        if getattr(provider, name) is not None and provider.type not in types:
            message = f"{name} requires type {_listed(types)}, not {provider.type}"
            findings.error((*path, name), message)
    for index, key in enumerate(provider.keys):
        _check_entry(provider, key, (*path, "keys", index), findings)
    if not is_cloud(provider):
        return
    if provider.auth is not None:
        findings.error((*path, "auth"), f"type {provider.type} has an auth of its own: remove it")
    _check_shapes(provider, path, findings)
    _check_needs(provider, path, findings)
    _check_mapping(provider, path, findings)
    if provider.type == "bedrock":
        _check_bedrock(provider, path, findings)
    if provider.type == "vertex":
        _check_location(provider, path, findings)


def _listed(names: frozenset[ProviderType] | frozenset[CredentialSource]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} or {last}" if most else last


def _check_shapes(provider: Provider, path: Path, findings: Findings) -> None:
    for name, (shape, sample) in _SHAPES.items():
        value = getattr(provider, name)
        if value is None or provider.type not in MEMBERS[name]:
            continue
        if name == "resource" and ("." in value or "/" in value):
            message = "the name only: what stands before .services.ai.azure.com"
            findings.wrong((*path, name), message, value)
        elif not shape.match(value):
            findings.wrong((*path, name), f"not a {name}: write it like {sample}", value)
        elif name == "region" and not _REGION.match(value):
            findings.warning((*path, name), f"not the shape of a region of AWS, such as {sample}")


def _check_needs(provider: Provider, path: Path, findings: Findings) -> None:
    def need(name: str, *others: str, variables: tuple[str, ...] = ()) -> None:
        if any(getattr(provider, member) for member in (name, *others)):
            return
        message = f"type {provider.type} requires a {name}"
        message += f", here or as {' or '.join(variables)}" if variables else ""
        message += f"; or a {others[0]}" if others else ""
        findings.missing(
            (*path, name),
            message,
            needs=(name, *others),
            unless=tuple((*path, reason) for reason in ("type", *others)),
        )

    match provider.type:
        case "bedrock" | "claude-aws":
            need("region", variables=REGION_VARIABLES)
            if provider.type == "claude-aws":
                need("workspace")
        case "vertex":
            need("project", variables=PROJECT_VARIABLES["vertex"])
        case "claude-google":
            need("project", "base_url", variables=PROJECT_VARIABLES["claude-google"])
            need("workspace", "base_url")
        case "azure":
            need("resource", "base_url")
            if provider.resource is not None and provider.base_url is not None:
                findings.error((*path, "base_url"), "give resource or base_url, not both")
        case _:
            pass


def _check_mapping(provider: Provider, path: Path, findings: Findings) -> None:
    """Warn of first-party names in a mapping, which are sent as they are."""
    for pattern, model in provider.model_mapping.items():
        place = (*path, "model_mapping", pattern)
        if provider.type == "bedrock" and model.startswith("claude-"):
            message = (
                "sent as it is, and Bedrock's ids begin with anthropic., or with a profile such as "
                "us.: write the id"
            )
            findings.warning(place, message)
        elif provider.type == "vertex" and _DATED.search(model):
            findings.warning(place, "sent as it is, and Vertex AI's ids have the date behind an @")


def _check_bedrock(provider: Provider, path: Path, findings: Findings) -> None:
    if provider.inference_profile not in (None, "none") and bedrock_api(provider) == "mantle":
        message = "api mantle has no inference profiles: remove it, or set another api"
        findings.warning((*path, "inference_profile"), message)


def _check_location(provider: Provider, path: Path, findings: Findings) -> None:
    """Warn of a single region, which lacks newer models."""
    location = location_of(provider)
    if location in ("global", "us", "eu") or not _SHAPES["location"][0].match(location):
        return
    names = [model.id if isinstance(model, Model) else model for model in provider.models or ()]
    names += provider.model_mapping.values()
    if names and all(_REGIONAL.match(name) for name in names):
        return
    findings.warning(
        (*path, "location"),
        "single regions serve claude-sonnet-4-6 and older models only: name those in models, or "
        "use global, us or eu",
    )


# ---- credentials


def _check_entry(provider: Provider, key: Key, path: Path, findings: Findings) -> None:
    credential = key.credential
    if credential is None:
        if key.key and provider.type in GOOGLE_TYPES:
            message = f"type {provider.type} takes no API keys: use credential"
            findings.error((*path, "key"), message)
        return
    if not is_cloud(provider):
        message = f"a credential requires type {_listed(CLOUD_TYPES)}, not {provider.type}"
        findings.error((*path, "credential"), message)
        return
    if key.key:
        findings.error((*path, "credential"), "give key or credential, not both")
    _check_credential(provider, credential, (*path, "credential"), findings)


def _check_credential(
    provider: Provider, credential: Credential, path: Path, findings: Findings
) -> None:
    cloud, own = _cloud_of(provider)
    for name in (*_AWS_MEMBERS, *_GOOGLE_MEMBERS, *_AZURE_MEMBERS):
        value = getattr(credential, name)
        if value is None:
            continue
        if name not in own:
            findings.error((*path, name), f"{name} is not for {cloud} (type {provider.type})")
        elif name != "client_secret" and not (value.strip() and value.isprintable()):
            findings.error((*path, name), "must not be empty or contain control characters")
    _check_source(credential, cloud, path, findings)
    if cloud == "AWS":
        _check_role(credential, path, findings)
    elif cloud == "Azure":
        _check_application(credential, path, findings)
    elif credential.impersonate and not _E_MAIL.match(credential.impersonate):
        message = "must be the e-mail address of a service account"
        findings.error((*path, "impersonate"), message)


def _cloud_of(provider: Provider) -> tuple[str, _Members]:
    if provider.type in AWS_TYPES:
        return "AWS", _AWS_MEMBERS
    if provider.type in GOOGLE_TYPES:
        return "Google", _GOOGLE_MEMBERS
    return "Azure", _AZURE_MEMBERS


def _check_source(credential: Credential, cloud: str, path: Path, findings: Findings) -> None:
    """Check that the source is the cloud's, and that the other members agree with it."""
    source = credential.source
    if source is None:
        return
    if source not in _SOURCES[cloud]:
        message = f"{source} is no source of {cloud}: use {_listed(_SOURCES[cloud])}"
        findings.error((*path, "source"), message)
        return
    for name, implied in _IMPLIED.items():
        given = getattr(credential, name) is not None
        if given and source != implied:
            findings.error((*path, name), f"contradicts source: {source}; remove one of them")


def _check_role(credential: Credential, path: Path, findings: Findings) -> None:
    if credential.role_arn and not _ROLE.match(credential.role_arn):
        message = "must be the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME"
        findings.error((*path, "role_arn"), message)
    if credential.external_id is not None and credential.role_arn is None:
        findings.error((*path, "external_id"), "an external_id requires a role_arn")


def _check_application(credential: Credential, path: Path, findings: Findings) -> None:
    if credential.client_secret is not None:
        findings.secret((*path, "client_secret"), credential.client_secret, "the secret")
    if credential.client_secret is not None and credential.certificate_file is not None:
        message = "give client_secret or certificate_file, not both"
        findings.error((*path, "certificate_file"), message)
        return
    for proof in ("client_secret", "certificate_file"):
        if getattr(credential, proof) is None:
            continue
        for name in ("tenant_id", "client_id"):
            if not getattr(credential, name):
                findings.missing(
                    (*path, name),
                    f"{proof} requires a {name}",
                    needs=(name,),
                    unless=((*path, proof),),
                )
