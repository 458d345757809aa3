"""Which cloud the mock provider plays, and which credentials it accepts.

A surface is one form of the API at one kind of host; a dialect of `ccrelay mock` is one surface or
several. Sources of the facts: the service models of botocore, the cloud clients of the `anthropic`
SDK, and what Claude Code sends in its cloud modes.
"""

import enum
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from ccrelay.demo.http1 import RequestHead
from ccrelay.demo.limits import credential_of
from ccrelay.errors import BadRequest

DialectName: TypeAlias = Literal[
    "bedrock", "bedrock-invoke", "mantle", "claude-aws", "vertex", "claude-google", "azure"
]
DIALECTS: Final[tuple[DialectName, ...]] = get_args(DialectName)
FOUNDRY_AUDIENCE = "https://ai.azure.com"


class Surface(enum.Enum):
    """A form of the Messages API at a cloud."""

    INVOKE = "bedrock-invoke"  # InvokeModel of bedrock-runtime
    RUNTIME = "bedrock-messages"  # the Messages API of bedrock-runtime
    MANTLE = "mantle"  # the Messages API of bedrock-mantle
    CLAUDE_AWS = "claude-aws"  # Claude Platform on AWS
    VERTEX = "vertex"
    CLAUDE_GOOGLE = "claude-google"  # Claude on Google Cloud, operated by Anthropic
    AZURE = "azure"  # Azure AI Foundry

    @property
    def is_aws(self) -> bool:
        """Whether requests are signed with SigV4, and gateway errors are AWS's."""
        return self in SERVICES

    @property
    def is_google(self) -> bool:
        """Whether credentials and gateway errors are Google's."""
        return self in (Surface.VERTEX, Surface.CLAUDE_GOOGLE)

    @property
    def is_bedrock_runtime(self) -> bool:
        """Whether the host is bedrock-runtime, whose every error has AWS's form."""
        return self in (Surface.INVOKE, Surface.RUNTIME)


# The service that a signature must be scoped to.
SERVICES: dict[Surface, str] = {
    Surface.INVOKE: "bedrock",
    Surface.RUNTIME: "bedrock",
    Surface.MANTLE: "bedrock-mantle",
    Surface.CLAUDE_AWS: "aws-external-anthropic",
}
SURFACES: dict[DialectName, tuple[Surface, ...]] = {
    "bedrock": (Surface.MANTLE, Surface.RUNTIME),
    "bedrock-invoke": (Surface.INVOKE,),
    "mantle": (Surface.MANTLE,),
    "claude-aws": (Surface.CLAUDE_AWS,),
    "vertex": (Surface.VERTEX,),
    "claude-google": (Surface.CLAUDE_GOOGLE,),
    "azure": (Surface.AZURE,),
}


class AccessKey(msgspec.Struct, frozen=True):
    """A pair of AWS keys; with a session token, requests must carry it."""

    id: str
    secret: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"<AccessKey {self.id}>"


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials that the mock accepts; those of the examples by default."""

    access_keys: tuple[AccessKey, ...] = (
        AccessKey("AKIDEXAMPLE", "test-secret-1"),
        AccessKey("AKIDEXAMPLE", "test-secret-1", "test-session-1"),
    )
    # Bearer tokens: of Google, of Entra, and Bedrock API keys.
    tokens: tuple[str, ...] = ("test-token-1", "test-bedrock-key-1")
    api_keys: tuple[str, ...] = ("test-key-1",)
    # Session tokens, bearer tokens and ids of access keys that were accepted once, and no longer.
    expired: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "<Accepted>"

    @classmethod
    def parse(cls, texts: tuple[str, ...]) -> "Accepted":
        """Read `--accept`: `aws:ID:SECRET[:SESSION]`, `token:T`, `key:K`, `expired:T`.

        A kind that is given replaces the default of that kind.

        Raises:
            BadRequest: another form.
        """
        found: dict[str, list[str]] = {}
        for text in texts:
            kind, colon, value = text.partition(":")
            if kind not in ("aws", "token", "key", "expired") or not (colon and value):
                raise BadRequest(f"{text!r} is not aws:ID:SECRET, token:T, key:K or expired:T.")
            found.setdefault(kind, []).append(value)
        members: dict[str, tuple[object, ...]] = {}
        if "aws" in found:
            members["access_keys"] = tuple(_access_key(value) for value in found["aws"])
        for kind, name in (("token", "tokens"), ("key", "api_keys"), ("expired", "expired")):
            if kind in found:
                members[name] = tuple(found[kind])
        return msgspec.structs.replace(cls(), **members)


def _access_key(text: str) -> AccessKey:
    id, _, rest = text.partition(":")
    secret, _, session_token = rest.partition(":")
    if not secret:
        raise BadRequest("aws: needs ID:SECRET.")
    return AccessKey(id, secret, session_token)


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """The cloud to play.

    Args:
        dialect: its surfaces.
        accepted: credentials.
        region: AWS region of signatures and of profile ids; None: any that they agree on.
        project: Google Cloud project; None: any.
        deployments: deployments of the Foundry resource; empty: every name is one.
        denied: models, by first-party name, that the account has no access to.
        clock_skew_s: seconds by which the cloud's clock is ahead: in `date`, and for signatures.
        strict: refuse the flags and members that the cloud is known to refuse.
    """

    dialect: DialectName
    accepted: Accepted = Accepted()
    region: str | None = None
    project: str | None = None
    deployments: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    clock_skew_s: float = 0.0
    strict: bool = True

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """The surfaces of the dialect."""
        return SURFACES[self.dialect]


def credential_name(head: RequestHead) -> str:
    """Return what limits and key faults know a credential by: key, token, or id of AWS keys."""
    text = head.get("authorization") or ""
    if text.startswith("AWS4-"):
        return text.partition("Credential=")[2].partition("/")[0]
    return credential_of(head) or head.get("api-key") or ""
