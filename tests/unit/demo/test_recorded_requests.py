"""What Claude Code itself sent to each cloud: the mock of that cloud accepts it, all of it.

The other half, what it leaves out for a cloud is refused there, is that of its requests to
Anthropic: not one passes as it is where Claude Code sends another.
"""

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ccrelay.demo.plan import Document

CORPUS = Path(__file__).parents[2] / "corpus" / "clouds" / "pairs" / "pairs.json"
VERTEX = "/v1/projects/p/locations/global/publishers/anthropic/models/"
MESSAGES = {
    "azure": "/anthropic/v1/messages",
    "claude-aws": "/v1/messages",
    "claude-google": "/v1/projects/p/locations/global/workspaces/w/invoke/v1/messages",
    "mantle": "/anthropic/v1/messages",
}


@cache
def corpus() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CORPUS.read_text())
    return found


def body_of(record: dict[str, Any]) -> dict[str, Any]:
    return {name: corpus()["values"][index] for name, index in record["body"].items()}


def named(record: dict[str, Any]) -> str:
    return f"{record['surface']}-{record['scenario']}-{record['model']}"


def target_of(record: dict[str, Any], body: dict[str, Any], *, counts: bool) -> str:
    surface, model = record["surface"], record["model"]
    if surface == "bedrock-invoke":
        if counts:
            return f"/model/{model.partition('.')[2]}/count-tokens"
        quoted = model.replace("/", "%2F")
        return f"/model/{quoted}/invoke-with-response-stream"
    if surface == "vertex":
        stream = "streamRawPredict" if body.get("stream") else "rawPredict"
        return VERTEX + ("count-tokens:rawPredict" if counts else f"{model}:{stream}")
    return MESSAGES[surface] + ("/count_tokens" if counts else "") + "?beta=true"


def refusal(cloud_context, record, body, betas, *, counts=False) -> str:
    """What the mock says to a request; empty: it accepts it."""
    target = target_of(record, body, counts=counts)
    if counts and record["surface"] == "bedrock-invoke":
        inner = base64.b64encode(json.dumps(body).encode()).decode()
        body = {"input": {"invokeModel": {"body": inner}}}
    headers = {"anthropic-beta": ",".join(betas)}
    reply = cloud_context(record["surface"], body, target=target, headers=headers).reply()
    refused = isinstance(reply, Document) and reply.status != 200
    return reply.body.decode() if refused else ""


@pytest.mark.parametrize("record", corpus()["pairs"], ids=named)
def test_what_claude_code_sends_to_a_cloud_is_accepted(cloud_context, record):
    assert refusal(cloud_context, record, body_of(record), record["betas"]) == ""


@pytest.mark.parametrize("record", corpus()["counts"], ids=named)
def test_its_counts_are_accepted(cloud_context, record):
    assert refusal(cloud_context, record, body_of(record), record["betas"], counts=True) == ""


# With its experimental flags off it sends to Anthropic what clouds take, too.
STRICT = [
    record
    for record in corpus()["pairs"]
    if record["surface"] in ("mantle", "vertex", "bedrock-invoke")
    and record["scenario"] != "experimental_betas_off"
]


@pytest.mark.parametrize("record", STRICT, ids=named)
def test_what_it_sends_to_anthropic_is_refused_by_strict_clouds(cloud_context, record):
    first = corpus()["first_party"][record["first_party"]]
    body = body_of(first)
    own = body_of(record)
    for name in ("model", "stream", "anthropic_version"):
        body.pop(name, None)
        if name in own:
            body[name] = own[name]
    if record["surface"] == "bedrock-invoke":
        body["anthropic_beta"] = first["betas"]
    alike = {name: body.get(name) for name in body} == own and first["betas"] == record["betas"]
    assert alike or refusal(cloud_context, record, body, first["betas"])
