"""The clouds in the starter file of `ccrelay init`: found by variables and files. Pure.

A cloud that Claude Code itself is set to use becomes a provider. One whose credentials only are
here becomes a commented one: they may be for something else.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

AWS_FILES = (".aws/config", ".aws/credentials")
GOOGLE_FILE = ".config/gcloud/application_default_credentials.json"
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}\Z")
KEY_NAME = "default"  # a name is what all faces show; without one a key is its fingerprint
_DEFAULT_REGION = "us-east-1"
# What is true for Claude Code (its own list).
_TRUE = frozenset({"1", "true", "yes", "on"})


class Machine(NamedTuple):
    """What is asked of this machine.

    Args:
        env: environment variables.
        files: those of `AWS_FILES` and `GOOGLE_FILE` that exist in the home folder.
        aws_region: of the profile in use, by `~/.aws/config`; None: it has none.
    """

    env: Mapping[str, str]
    files: frozenset[str] = frozenset()
    aws_region: str | None = None


class FoundCloud(NamedTuple):
    """A cloud that was found.

    Args:
        name: of its provider.
        found_by: variables and files, for people; never values.
        lines: of the provider in YAML.
        is_used: whether Claude Code is set to use it; else the lines are comments.
        extra: of the package, which its credentials need; empty: none.
    """

    name: str
    found_by: tuple[str, ...]
    lines: tuple[str, ...]
    is_used: bool
    extra: str = ""

    @property
    def block(self) -> str:
        """The lines as they stand in the file."""
        if self.is_used:
            return "\n".join(self.lines) + "\n"
        head = f"  # Credentials are here ({', '.join(self.found_by)}); to use them:"
        return "\n".join([head, *(f"  # {line[2:]}" for line in self.lines)]) + "\n"


def find_clouds(machine: Machine) -> tuple[FoundCloud, ...]:
    """The clouds that are set up on a machine, in the order of the file."""
    env = machine.env
    finders = (_bedrock, _claude_aws, _vertex, _claude_google, _azure)
    found = [cloud for finder in finders if (cloud := finder(machine, env)) is not None]
    return tuple(found)


def _bedrock(machine: Machine, env: Mapping[str, str]) -> FoundCloud | None:
    own = _set(env, "AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_BEDROCK_BASE_URL")
    own += _on(env, "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_MANTLE")
    found = own + _aws_found(machine, env)
    if not found:
        return None
    lines = ["  - name: bedrock", "    type: bedrock", _region(machine, env)]
    if _on(env, "CLAUDE_CODE_USE_BEDROCK") and not _on(env, "CLAUDE_CODE_USE_MANTLE"):
        # Roles for Claude Code allow InvokeModel, perhaps no more.
        lines.append("    api: invoke               # as Claude Code itself uses it")
    token = "AWS_BEARER_TOKEN_BEDROCK"
    lines += _key(token) if env.get(token) else _aws_credential(env)
    extra = "" if env.get(token) else "aws"
    return FoundCloud("bedrock", tuple(found), tuple(lines), bool(own), extra)


def _claude_aws(machine: Machine, env: Mapping[str, str]) -> FoundCloud | None:
    found = _on(env, "CLAUDE_CODE_USE_ANTHROPIC_AWS")
    found += _set(env, "ANTHROPIC_AWS_WORKSPACE_ID", "ANTHROPIC_AWS_API_KEY")
    workspace = env.get("ANTHROPIC_AWS_WORKSPACE_ID")
    if not found:
        return None
    lines = [
        "  - name: claude-aws",
        "    type: claude-aws",
        _region(machine, env),
        _reference("workspace", "ANTHROPIC_AWS_WORKSPACE_ID")
        if workspace
        else "    workspace: wrkspc_ID",
    ]
    key = "ANTHROPIC_AWS_API_KEY"
    lines += _key(key) if env.get(key) else _aws_credential(env)
    extra = "" if env.get(key) else "aws"
    return FoundCloud("claude-aws", tuple(found), tuple(lines), bool(workspace), extra)


def _vertex(machine: Machine, env: Mapping[str, str]) -> FoundCloud | None:
    own = _on(env, "CLAUDE_CODE_USE_VERTEX") + _set(env, "ANTHROPIC_VERTEX_PROJECT_ID")
    found = own + _google_found(machine, env)
    if not found:
        return None
    names = _set(env, "ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT")
    project = _reference("project", names[0][1:]) if names else "    project: PROJECT"
    lines = ["  - name: vertex", "    type: vertex", project, *_location(env, "CLOUD_ML_REGION")]
    lines += _google_credential(env)
    return FoundCloud("vertex", tuple(found), tuple(lines), bool(own and names), "gcp")


def _claude_google(machine: Machine, env: Mapping[str, str]) -> FoundCloud | None:
    found = _on(env, "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD")
    found += _set(env, "ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID", "ANTHROPIC_GOOGLE_CLOUD_PROJECT")
    if not found:
        return None
    names = _set(env, "ANTHROPIC_GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT")
    workspace = _set(env, "ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID")
    lines = [
        "  - name: claude-google",
        "    type: claude-google",
        _reference("project", names[0][1:]) if names else "    project: PROJECT",
        _reference("workspace", workspace[0][1:]) if workspace else "    workspace: wrkspc_ID",
        *_location(env, "ANTHROPIC_GOOGLE_CLOUD_LOCATION"),
        *_google_credential(env),
    ]
    is_used = bool(names and workspace)
    return FoundCloud("claude-google", tuple(found), tuple(lines), is_used, "gcp")


def _azure(machine: Machine, env: Mapping[str, str]) -> FoundCloud | None:
    own = _on(env, "CLAUDE_CODE_USE_FOUNDRY")
    own += _set(env, "ANTHROPIC_FOUNDRY_RESOURCE", "ANTHROPIC_FOUNDRY_API_KEY")
    application = _set(env, "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
    is_application = len(application) == 3
    found = own + (application if is_application else [])
    if not found:
        return None
    resource, key = "ANTHROPIC_FOUNDRY_RESOURCE", "ANTHROPIC_FOUNDRY_API_KEY"
    lines = ["  - name: azure", "    type: azure"]
    lines.append(_reference("resource", resource) if env.get(resource) else "    resource: NAME")
    lines.append("    # Models are deployments: their names may differ from those of the models.")
    lines.append("    # model_mapping: {claude-opus-5-5: my-deployment}")
    if env.get(key):
        lines += _key(key)
    elif is_application:
        members = ("tenant_id", "client_id", "client_secret")
        lines += key_lines("credential:")
        lines += [f'          {member}: "${{AZURE_{member.upper()}}}"' for member in members]
    extra = "" if env.get(key) else "azure"
    return FoundCloud("azure", tuple(found), tuple(lines), bool(env.get(resource)), extra)


def _set(env: Mapping[str, str], *names: str) -> list[str]:
    return [f"${name}" for name in names if env.get(name)]


def _on(env: Mapping[str, str], *names: str) -> list[str]:
    return [f"${name}" for name in names if env.get(name, "").strip().lower() in _TRUE]


def _aws_found(machine: Machine, env: Mapping[str, str]) -> list[str]:
    found = _set(env, "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")
    return found + [f"~/{name}" for name in AWS_FILES if name in machine.files]


def _google_found(machine: Machine, env: Mapping[str, str]) -> list[str]:
    found = _set(env, "GOOGLE_APPLICATION_CREDENTIALS")
    return found + ([f"~/{GOOGLE_FILE}"] if GOOGLE_FILE in machine.files else [])


def _reference(member: str, variable: str) -> str:
    return f'    {member}: "${{{variable}}}"'


def key_lines(line: str) -> list[str]:
    """The only key of a provider, by its name and one line of YAML."""
    return ["    keys:", f"      - name: {KEY_NAME}", f"        {line}"]


def _key(variable: str) -> list[str]:
    return key_lines(f'key: "${{{variable}}}"')


def _region(machine: Machine, env: Mapping[str, str]) -> str:
    names = _set(env, "AWS_REGION", "AWS_DEFAULT_REGION")
    if names:
        return _reference("region", names[0][1:])
    known = machine.aws_region
    return f"    region: {known if known and _REGION.match(known) else _DEFAULT_REGION}"


def _location(env: Mapping[str, str], variable: str) -> list[str]:
    if env.get(variable):
        return [_reference("location", variable)]
    return ["    # location: global         # or us, eu, a region"]


def _aws_credential(env: Mapping[str, str]) -> list[str]:
    if env.get("AWS_PROFILE"):
        return key_lines('credential: {profile: "${AWS_PROFILE}"}')
    return key_lines("credential: {}         # as the AWS command line finds it")


def _google_credential(env: Mapping[str, str]) -> list[str]:
    name = "GOOGLE_APPLICATION_CREDENTIALS"
    member = f'{{file: "${{{name}}}"}}' if env.get(name) else "{}         # as gcloud has it"
    return key_lines(f"credential: {member}")
