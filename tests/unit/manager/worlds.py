"""A live state whose clock stands still until it is moved."""

from pathlib import Path
from typing import Any

import msgspec

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.load import load_text
from ccrelay.config.model import Config
from ccrelay.fleet.layout import Layout
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.manager.clock import Clock
from ccrelay.manager.live import LiveState
from ccrelay.v1 import providers_pb2 as v1

NOW = 10_000.0
WALL = 1_700_000_000.0
TEXT = """\
providers:
- name: one
  type: anthropic
  base_url: https://one.example/v1/secretpath12345
  keys:
  - {key: k-a, name: a, rpm_limit: 10, max_concurrent: 4}
  - {key: k-b, enabled: false}
- name: two
  base_url: http://127.0.0.1:9
  models: [glm-5, "glm-*"]
  model_mapping: {claude-opus-4-5: glm-5}
  keys: [{key: k-c, name: c}]
- {name: login, type: anthropic, base_url: "http://127.0.0.1:8"}
- {name: local, type: ollama, base_url: "http://127.0.0.1:9", enabled: false}
"""


def configured(text: str = TEXT) -> Config:
    return load_text(text.encode(), Path("/nonexistent/c.yaml"), env={}).config


class World:
    """Shared memory, a worker that writes it, and the state that is read from it."""

    def __init__(self, text: str = TEXT) -> None:
        self.now = NOW
        self.memory = SharedMemory.private(workers=2, targets=64, endpoints=64, bindings=64)
        self.config = configured(text)
        self.layout = Layout.of(self.config)
        self.clock = Clock(lambda: self.now, lambda: WALL + self.now - NOW)
        self.live = LiveState(self.memory, self.config, self.layout, self.clock)
        self.facts = Facts()

    def worker(self, name: str) -> ProviderState:
        provider = next(one for one in self.config.providers if one.name == name)
        return ProviderState(
            msgspec.structs.replace(provider),
            self.config.health,
            memory=self.memory,
            slots=self.layout.targets[name],
            endpoint_slot=self.layout.endpoints[name],
        )

    def provider(self, name: str, **since: int) -> v1.Provider:
        messages = self.live.messages(self.facts, since)
        return next(message for message in messages if message.name == name)

    def ms(self, seconds: float) -> int:
        """An instant that is so many seconds from the beginning."""
        return round((WALL + seconds) * 1000)


class Facts:
    """What the ledger would tell."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def windows(self, provider: str, key: str) -> list[v1.Window]:
        return self.told.get("windows", [])  # type: ignore[no-any-return]

    def totals(self, provider: str, key: str) -> v1.Totals | None:
        return self.told.get("totals")

    def first_event_ms(self, provider: str, key: str) -> float:
        return 0.0
