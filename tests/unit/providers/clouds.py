"""Providers of each cloud, as loaded from the configuration, and the recorded calls."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from ccrelay.config.model import Key, Provider
from ccrelay.providers.cloud import CloudDialect
from ccrelay.providers.registry import dialect_for

CORPUS = Path(__file__).parents[2] / "corpus" / "clouds"
GOOGLE = "https://claude.googleapis.com/v1/projects/test-project-1/locations/global"

# By the names of the records: settings that differ from the defaults of all.
CLOUDS: dict[str, dict[str, Any]] = {
    "bedrock_invoke": {
        "type": "bedrock",
        "api": "invoke",
        "region": "us-east-1",
        "base_url": "https://bedrock-runtime.us-east-1.amazonaws.com",
    },
    "bedrock_messages": {
        "type": "bedrock",
        "api": "messages",
        "region": "us-east-1",
        "base_url": "https://bedrock-runtime.us-east-1.amazonaws.com",
    },
    "bedrock_mantle": {
        "type": "bedrock",
        "api": "mantle",
        "region": "us-east-1",
        "base_url": "https://bedrock-mantle.us-east-1.api.aws/anthropic",
    },
    "aws_platform": {
        "type": "claude-aws",
        "region": "us-east-1",
        "workspace": "wrkspc_test1",
        "base_url": "https://aws-external-anthropic.us-east-1.api.aws",
    },
    "vertex": {
        "type": "vertex",
        "location": "global",
        "project": "test-project-1",
        "base_url": "https://aiplatform.googleapis.com",
    },
    "google_cloud": {
        "type": "claude-google",
        "base_url": GOOGLE + "/workspaces/wrkspc_test1/invoke",
    },
    "foundry": {
        "type": "azure",
        "base_url": "https://test.services.ai.azure.com/anthropic",
    },
}
# Claude Code's names of its modes.
MODES = {"bedrock": "bedrock_invoke", "mantle": "bedrock_mantle"}


def provider(name: str, **settings: Any) -> Provider:
    """A provider of this cloud with its defaults filled in."""
    resolved: dict[str, Any] = {
        "name": "p",
        "auth": "bearer",
        "models": ["*"],
        "system_role": "keep",
        "count_tokens": "forward",
        "drop_betas": [],
        "tool_type_custom": "keep",
        "keys": [Key(key="credential:{}")],
        **CLOUDS[name],
        **settings,
    }
    return Provider(**resolved)


def cloud(name: str, **settings: Any) -> CloudDialect:
    """The dialect of this cloud."""
    dialect = dialect_for(provider(name, **settings))
    assert isinstance(dialect, CloudDialect)
    return dialect


@cache
def calls() -> dict[str, Any]:
    """What the official SDK and botocore sent, by call."""
    found: dict[str, Any] = json.loads((CORPUS / "sdk.json").read_text())
    return found


@cache
def cli_targets() -> list[dict[str, Any]]:
    """Targets and header fields of what Claude Code sent to each cloud."""
    found: list[dict[str, Any]] = json.loads((CORPUS / "cli_targets.json").read_text())
    return found
