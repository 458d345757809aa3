"""One conversation over Anthropic and two clouds, played by `ccrelay.demo`: none refuses it."""

import json
from typing import Any

from ccrelay.config.model import Health, Provider
from ccrelay.demo.cloud import Cloud
from ccrelay.demo.script import Script
from ccrelay.demo.server import DemoServer, start_demo
from tests.loopback.clouds.clouds import asked, cloud, issue
from tests.loopback.relay.harness import Lab, eventually, provider, routing
from tests.loopback.relay.wires import Answer, events_in

MODEL = "claude-sonnet-4-5"
CLAUDES = "Eq" + "Ab3/" * 20  # what Claude's signatures look like
OURS = {"type": "thinking", "thinking": "I, Claude", "signature": CLAUDES}
FOREIGN = {"type": "thinking", "thinking": "I, another", "signature": "c2lnbmVkIGVsc2V3aGVyZQ=="}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.txt"}
TOOL = {
    "name": "Bash",
    "description": "Runs a command.",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}},
}
BETAS = (
    b"anthropic-beta",
    b"claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
)
SESSION = (b"x-claude-code-session-id", b"s-1")


def turn(number: int, **more: Any) -> bytes:
    """The n-th request of a conversation: each has the thinking and the calls before it."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "List the files."}]
    for _ in range(number):
        messages += [
            {"role": "assistant", "content": [OURS, CALL]},
            {"role": "user", "content": [RESULT, {"type": "text", "text": "Go on."}]},
        ]
    cached = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "You are an agent.", "cache_control": cached}]
    body = {
        "model": MODEL,
        "max_tokens": 2000,
        "stream": True,
        "system": system,
        "tools": [TOOL],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": "u-1"},
        "messages": messages,
        **more,
    }
    return json.dumps(body).encode()


class World:
    """Anthropic, Bedrock and Vertex, in this order, each with its script."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.servers: dict[str, DemoServer] = {}

    async def open(self, anthropic: str, bedrock: str, vertex: str) -> None:
        scripts = {"anthropic": anthropic, "bedrock": bedrock, "vertex": vertex}
        clouds: dict[str, Cloud | None] = {
            "anthropic": None,
            "bedrock": Cloud(dialect="bedrock-invoke", region="us-east-1"),
            "vertex": Cloud(dialect="vertex", project="test-project"),
        }
        for name, text in scripts.items():
            self.servers[name] = await start_demo(
                script=paths_of(text), gap_ms=0, record=True, cloud=clouds[name]
            )
        urls = {name: server.url for name, server in self.servers.items()}
        made: list[Provider] = [
            provider(urls["anthropic"], "anthropic", type="anthropic", auth=None),
            cloud("bedrock", urls["bedrock"]),
            cloud("vertex", urls["vertex"]),
        ]
        self.lab.start(
            *made,
            routing=routing(strategy="failover", queue_timeout_s=0),
            health=Health(failures=100),
        )
        issue(self.lab, "bedrock")
        issue(self.lab, "vertex")

    async def close(self) -> None:
        for server in self.servers.values():
            await server.close()

    async def ask(self, body: bytes) -> Answer:
        return await self.lab.ask(asked(body, BETAS, SESSION))

    def bodies(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.servers[name].requests if one.body]


def paths_of(text: str) -> Script:
    """A script for every path: clouds have others than Anthropic."""
    return Script.parse(text)


def served_by(lab: Lab) -> list[object]:
    return [record["provider"] for record in lab.sink.records]


def is_whole(answer: Answer) -> bool:
    names = [name for name, _ in events_in(answer.body)]
    return answer.status == 200 and names[0] == "message_start" and names[-1] == "message_stop"


async def test_a_conversation_moves_from_anthropic_to_bedrock_to_vertex_and_back(lab: Lab) -> None:
    world = World(lab)
    await world.open("529,529,ok", "ok,exception,ok", "ok,cloud_error=UNAVAILABLE,ok")
    try:
        answers = [await world.ask(turn(number)) for number in range(4)]
        assert all(is_whole(answer) for answer in answers), [a.body[:300] for a in answers]
        await eventually(lambda: len(lab.sink.records) == 4)
        assert served_by(lab) == ["bedrock", "vertex", "anthropic", "anthropic"]
        # Whoever served got the signatures as they were.
        for name in ("anthropic", "bedrock", "vertex"):
            for body in world.bodies(name):
                for message in body["messages"]:
                    if message["role"] == "assistant":
                        assert message["content"] == [OURS, CALL]
        assert lab.sink.named("feature_refused") == []
        assert lab.sink.named("key_disabled") == []
    finally:
        await world.close()


async def test_foreign_thinking_is_left_out_for_a_cloud(lab: Lab) -> None:
    world = World(lab)
    await world.open("529", "ok", "ok")
    try:
        assert is_whole(await world.ask(turn(0)))
        mixed = json.loads(turn(1))
        mixed["messages"][1]["content"].insert(1, FOREIGN)
        assert is_whole(await world.ask(json.dumps(mixed).encode()))
        sent = world.bodies("bedrock")[-1]["messages"][1]["content"]
        assert OURS in sent
        # It was taken for Claude's until somebody refuses it, or known to be foreign at once.
        assert served_by(lab) == ["bedrock", "bedrock"]
    finally:
        await world.close()


async def test_whole_answers_and_counts_come_from_clouds_too(lab: Lab) -> None:
    world = World(lab)
    await world.open("529", "ok", "ok")
    try:
        answer = await world.ask(turn(1, stream=False))
        assert answer.status == 200
        assert answer.json()["type"] == "message"
        count = json.loads(turn(1))
        for member in ("stream", "max_tokens", "metadata"):
            count.pop(member)
        counted = await lab.ask(
            asked(json.dumps(count).encode(), BETAS, path=b"/v1/messages/count_tokens")
        )
        assert counted.status == 200, counted.body
        assert counted.json()["input_tokens"] > 0
    finally:
        await world.close()
