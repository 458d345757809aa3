"""The modes of Claude Code, each pointed at a relay; providers of each type, played by mocks."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ccrelay.demo.cloud import Cloud, DialectName
from tests.client.claude import MODEL
from tests.client.rig import RELAY_TOKEN

SPACE = "/v1/projects/test-project-1/locations/global/workspaces/wrkspc_test1/invoke"
# Where a cloud's own authentication is skipped, a header carries the relay's token.
HEADER = {"ANTHROPIC_CUSTOM_HEADERS": f"x-api-key: {RELAY_TOKEN}"}


class Mode(NamedTuple):
    """A mode of the client: its name, its variables for a relay at a URL, a model's name there."""

    name: str
    environment: Callable[[str], dict[str, str]]
    model: str = MODEL


MODES = (
    Mode(
        "first party",
        lambda url: {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_AUTH_TOKEN": RELAY_TOKEN},
    ),
    Mode(
        "bedrock",
        lambda url: {
            "CLAUDE_CODE_USE_BEDROCK": "1",
            "ANTHROPIC_BEDROCK_BASE_URL": url,
            "AWS_BEARER_TOKEN_BEDROCK": RELAY_TOKEN,
            "AWS_REGION": "us-east-1",
        },
        f"us.anthropic.{MODEL}",
    ),
    Mode(
        "mantle",
        lambda url: {
            "CLAUDE_CODE_USE_MANTLE": "1",
            "ANTHROPIC_BEDROCK_MANTLE_BASE_URL": f"{url}/anthropic",
            "AWS_BEARER_TOKEN_BEDROCK": RELAY_TOKEN,
            "AWS_REGION": "us-east-1",
        },
        f"anthropic.{MODEL}",
    ),
    Mode(
        "vertex",
        lambda url: {
            "CLAUDE_CODE_USE_VERTEX": "1",
            "ANTHROPIC_VERTEX_BASE_URL": f"{url}/v1",
            "CLAUDE_CODE_SKIP_VERTEX_AUTH": "1",
            "CLOUD_ML_REGION": "global",
            "ANTHROPIC_VERTEX_PROJECT_ID": "test-project-1",
            **HEADER,
        },
    ),
    Mode(
        "foundry",
        lambda url: {
            "CLAUDE_CODE_USE_FOUNDRY": "1",
            "ANTHROPIC_FOUNDRY_BASE_URL": f"{url}/anthropic",
            "ANTHROPIC_FOUNDRY_API_KEY": RELAY_TOKEN,
        },
    ),
    Mode(
        "claude-aws",
        lambda url: {
            "CLAUDE_CODE_USE_ANTHROPIC_AWS": "1",
            "ANTHROPIC_AWS_BASE_URL": url,
            "ANTHROPIC_AWS_WORKSPACE_ID": "wrkspc_test1",
            "ANTHROPIC_AWS_API_KEY": RELAY_TOKEN,
            "AWS_REGION": "us-east-1",
        },
    ),
    Mode(
        "claude-google",
        lambda url: {
            "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD": "1",
            "ANTHROPIC_GOOGLE_CLOUD_BASE_URL": url + SPACE,
            "CLAUDE_CODE_SKIP_ANTHROPIC_GOOGLE_CLOUD_AUTH": "1",
            "ANTHROPIC_GOOGLE_CLOUD_PROJECT": "test-project-1",
            "ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID": "wrkspc_test1",
            **HEADER,
        },
    ),
)


class Row(NamedTuple):
    """A provider of the matrix.

    Args:
        dialect: of the mock; None: Anthropic's.
        provider: its entry, without name and base URL.
        prefix: of its base URL.
        environment: variables of the relay, given the mock's address.
    """

    dialect: DialectName | None
    provider: dict[str, Any]
    prefix: str = ""
    environment: Callable[[str], dict[str, str]] = lambda address: {}

    @property
    def cloud(self) -> Cloud | None:
        """What the mock plays."""
        return None if self.dialect is None else Cloud(dialect=self.dialect)

    def config(self, upstream: str) -> dict[str, Any]:
        """The relay's configuration before this provider."""
        entry = {"name": "mock", "base_url": upstream + self.prefix, **self.provider}
        return {"server": {"auth": {"tokens": ["${RELAY_TOKEN}"]}}, "providers": [entry]}


BEDROCK_KEY = {"region": "us-east-1", "keys": [{"key": "test-bedrock-key-1"}]}
GOOGLE = {"location": "global", "project": "test-project-1"}
METADATA = {"keys": [{"credential": {"source": "metadata"}}]}


def aws_keys(address: str) -> dict[str, str]:
    """AWS keys in the environment, with which the relay signs."""
    return {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test-secret-1"}


def metadata_server(address: str) -> dict[str, str]:
    """Google's metadata server at the mock."""
    return {"GCE_METADATA_HOST": address, "GCE_METADATA_IP": address}


ROWS = {
    "anthropic": Row(None, {"type": "anthropic", "keys": [{"key": "${UPSTREAM_KEY}"}]}),
    "bedrock-invoke": Row(
        "bedrock-invoke",
        {"type": "bedrock", "api": "invoke", "region": "us-east-1"},
        environment=aws_keys,
    ),
    "mantle": Row("mantle", {"type": "bedrock", "api": "mantle", **BEDROCK_KEY}, "/anthropic"),
    "vertex": Row("vertex", {"type": "vertex", **GOOGLE, **METADATA}, environment=metadata_server),
    "azure": Row("azure", {"type": "azure", "keys": [{"key": "test-key-1"}]}, "/anthropic"),
    "claude-aws": Row(
        "claude-aws",
        {
            "type": "claude-aws",
            "region": "us-east-1",
            "workspace": "wrkspc_test1",
            "keys": [{"key": "test-key-1"}],
        },
    ),
    "claude-google": Row(
        "claude-google",
        {"type": "claude-google", "workspace": "wrkspc_test1", **GOOGLE, **METADATA},
        SPACE,
        metadata_server,
    ),
}
