"""Asking a relay for models, and the providers that tell theirs."""

import asyncio
import json

from ccrelay.config.model import Provider
from tests.loopback.relay.harness import Lab, Peer, Script, Upstream, provider
from tests.loopback.relay.wires import Answer, Request, request, response

MODELS = b"/v1/models"
CANARY = "test-canary-key-1"


def get(path: bytes = MODELS, *headers: tuple[bytes, bytes], method: bytes = b"GET") -> bytes:
    return request(method, path, headers)


def listing(*models: str) -> bytes:
    """A provider's answer, in OpenAI's shape."""
    rows = [{"id": model} for model in models]
    return response(200, json.dumps({"object": "list", "data": rows}).encode())


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [model["id"] for model in answer.json()["data"]]


async def ask(
    lab: Lab, path: bytes = MODELS, *headers: tuple[bytes, bytes], method: bytes = b"GET"
) -> Answer:
    return await lab.ask(get(path, *headers, method=method), method=method.decode())


def discovering(upstream: Upstream | str, name: str = "first", **fields: object) -> Provider:
    return provider(upstream, name, discover_models=True, **fields)


def passing(upstream: Upstream | str, name: str = "own") -> Provider:
    """A provider that gets the client's own credential."""
    return discovering(upstream, name, keys=(), type="anthropic", auth=None, models=["*"])


def gated(reply: bytes, gate: asyncio.Event, into: list[Request] | None = None) -> Script:
    """Answer when the gate opens."""

    async def script(peer: Peer) -> None:
        while True:
            asked = await peer.request()
            if into is not None:
                into.append(asked)
            await gate.wait()
            await peer.send(reply)

    return script


def is_known(lab: Lab) -> bool:
    """Whether the first provider's list has come, without asking for it."""
    return bool(lab.relay.context.config.models_api.discovery._lists["first"].entries)
