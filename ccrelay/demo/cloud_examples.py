"""How to use a mock cloud: its entry in the configuration of ccrelay, and a call without it."""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ccrelay.demo.cloud import Cloud, DialectName

_AWS = "AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=test-secret-1"
_GOOGLE = "GCE_METADATA_HOST=@ GCE_METADATA_IP=@"
_TOKEN = "-H 'authorization: Bearer test-token-1'"
_TURN = '"max_tokens":64,"messages":[{"role":"user","content":"hi"}]}'
_VERTEX_BODY = '{"anthropic_version":"vertex-2023-10-16",' + _TURN
_BODY = '{"model":"claude-opus-5-5",' + _TURN
_CONFIG: dict[DialectName, dict[str, Any]] = {
    "bedrock": {"type": "bedrock", "region": "us-east-1"},
    "mantle": {"type": "bedrock", "api": "mantle", "region": "us-east-1"},
    "bedrock-invoke": {"type": "bedrock", "api": "invoke", "region": "us-east-1"},
    "claude-aws": {"type": "claude-aws", "region": "us-east-1", "workspace": "wrkspc_test1"},
    "vertex": {"type": "vertex", "location": "global", "project": "test-project-1"},
    "claude-google": {
        "type": "claude-google",
        "location": "global",
        "project": "test-project-1",
        "workspace": "wrkspc_test1",
    },
    "azure": {"type": "azure"},
}
# What the environment of `ccrelay serve` needs, so that it finds a credential.
_ENVIRONMENT: dict[DialectName, str] = {
    "bedrock": _AWS,
    "mantle": _AWS,
    "bedrock-invoke": _AWS,
    "claude-aws": _AWS,
    "vertex": _GOOGLE,
    "claude-google": _GOOGLE,
}
# Below the URL of the mock: what comes before the paths of the API.
PREFIXES: dict[DialectName, str] = {
    "bedrock": "/anthropic",
    "mantle": "/anthropic",
    "claude-google": "/v1/projects/test-project-1/locations/global/workspaces/wrkspc_test1/invoke",
    "azure": "/anthropic",
}
_CLIENT: dict[DialectName, str] = {
    "bedrock": f"{_AWS} AWS_REGION=us-east-1 CLAUDE_CODE_USE_MANTLE=1 "
    "ANTHROPIC_BEDROCK_MANTLE_BASE_URL={url}/anthropic claude",
    "mantle": f"{_AWS} AWS_REGION=us-east-1 CLAUDE_CODE_USE_MANTLE=1 "
    "ANTHROPIC_BEDROCK_MANTLE_BASE_URL={url}/anthropic claude",
    "bedrock-invoke": f"{_AWS} AWS_REGION=us-east-1 CLAUDE_CODE_USE_BEDROCK=1 "
    "ANTHROPIC_BEDROCK_BASE_URL={url} claude",
    "claude-aws": f"{_AWS} AWS_REGION=us-east-1 CLAUDE_CODE_USE_ANTHROPIC_AWS=1 "
    "ANTHROPIC_AWS_WORKSPACE_ID=wrkspc_test1 ANTHROPIC_AWS_BASE_URL={url} claude",
    "vertex": "curl {url}/v1/projects/test-project-1/locations/global/publishers/anthropic/models/"
    f"claude-opus-5-5:rawPredict {_TOKEN} -d '{_VERTEX_BODY}'",
    "claude-google": "curl {url}/v1/projects/test-project-1/locations/global/workspaces/"
    f"wrkspc_test1/invoke/v1/messages {_TOKEN} -H 'anthropic-version: 2023-06-01' -d '{_BODY}'",
    "azure": "CLAUDE_CODE_USE_FOUNDRY=1 ANTHROPIC_FOUNDRY_BASE_URL={url}/anthropic "
    "ANTHROPIC_FOUNDRY_API_KEY=test-key-1 claude",
}


class Examples(NamedTuple):
    """YAML of a provider, variables for `ccrelay serve` ("": none), and a call without it."""

    config: str
    environment: str
    client: str


def cloud_examples(cloud: Cloud, url: str) -> Examples:
    """Return how to reach the mock at `url`."""
    members = _CONFIG[cloud.dialect] | {"base_url": url + PREFIXES.get(cloud.dialect, "")}
    lines = ["providers:", f"  - name: {cloud.dialect}"]
    lines += [f"    {name}: {value}" for name, value in members.items()]
    if cloud.dialect == "azure":
        lines.append("    keys: [{key: test-key-1}]")
    elif cloud.dialect in ("vertex", "claude-google"):
        lines.append("    keys: [{credential: {source: metadata}}]")
    return Examples(
        config="\n".join(lines) + "\n",
        environment=_ENVIRONMENT.get(cloud.dialect, "").replace("@", urlsplit(url).netloc),
        client=_CLIENT[cloud.dialect].replace("{url}", url),
    )
