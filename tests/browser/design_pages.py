"""The relay of the design, with what Usage, Providers, Routing, Config and First run ask."""

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from ccrelay.config.load import load_text
from ccrelay.config.problems import ConfigError
from ccrelay.manager.config_service import problems
from ccrelay.v1 import (
    config_pb2 as cf,
    exchanges_pb2 as ex,
    providers_pb2 as pb,
    relay_pb2 as rl,
    routing_pb2 as ro,
    setup_pb2 as su,
    usage_pb2 as us,
)
from tests.browser.design import HAIKU, OPUS, SONNET, Design, moved_by
from tests.loopback.control.harness import Behaviour
from tests.unit.cli import examples
from tests.unit.cli.served import totals

DAY_MS = 86_400_000
# Of each of the last seven days, dollars at list price: opus, sonnet, haiku, glm.
_DAYS = (
    (22.0, 8.2, 0.2, 1.0),
    (3.3, 2.2, 0.0, 0.1),
    (0.0, 0.7, 0.1, 0.0),
    (26.5, 7.8, 0.1, 1.4),
    (31.6, 5.8, 0.1, 2.2),
    (24.2, 10.4, 0.2, 1.6),
    (17.9, 6.5, 0.1, 1.5),
)
_MODELS = (OPUS, SONNET, HAIKU, "glm-5.3")
_PROJECTS = (("payments-api", 119.85), ("handbook", 32.16), ("infra-live", 20.74), ("", 2.99))

FILE = """\
# The relay of the team.
server:
  listen: 127.0.0.1:8787
routing:
  strategy: failover
  rules:
    - name: background
      when: {request_class: [background]}
      use: {providers: [zai]}
    - name: explore
      when: {request_class: [subagent], model: ["claude-haiku*"]}
      use: {providers: [anthropic]}
    - name: team-projects
      when: {headers: {x-project: "payments-*"}}
      use: {providers: [anthropic, bedrock]}
    - name: long
      when: {tokens_over: 400000}
      use: {providers: [anthropic]}
providers:
  - name: anthropic
    type: anthropic
    priority: 10
    keys:
      - {name: team-a, key: "${TEAM_A_KEY}", rpm_limit: 50, itpm_limit: 400000}
      - {name: team-b, key: "${file:~/team-b.key}", rpm_limit: 50, itpm_limit: 200000}
  - name: bedrock   # through the gateway of the house
    type: compatible
    base_url: https://gateway.example.com/bedrock
    priority: 5
    keys:
      - {name: eu-role, key: "${EU_KEY}"}
  - name: zai
    type: zai
    priority: 1
    keys:
      - {name: plan, key: "${ZAI_API_KEY}", max_concurrent: 16}
    model_mapping: {"claude-*": glm-5.3}
logging: {level: info, format: text}
"""


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class PagesDesign(Design):
    """As Design. `asked` keeps the requests that change something."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.file = FILE
        self.revision = 14
        self.has_config = False
        self.keys_enabled: dict[tuple[str, str], bool] = {}

    def status(self) -> rl.Status:
        said = super().status()
        for provider, priority in zip(said.providers, (10, 5, 1), strict=True):
            provider.priority, provider.weight = priority, 1
            for key in provider.keys:
                key.weight = 1
                key.enabled = self.keys_enabled.get((provider.name, key.fingerprint), True)
                if not key.enabled:
                    key.state = pb.Key.STATE_DISABLED
                    key.overrides.append(self._override(provider.name, key))
                if key.name == "team-b":
                    key.cooldown_reason = "429 from the provider: retry after 110 s"
                if key.name in ("team-a", "team-b"):
                    key.windows.add(
                        name="input_tokens",
                        utilization=0.06,
                        used=24_100,
                        limit=400_000,
                        length_s=60,
                    )
        said.providers[1].base_url = "https://gateway.example.com/bedrock"
        said.providers[1].models[:] = [OPUS, SONNET]
        said.providers[2].models[:] = ["claude-*", "glm-5.3"]
        said.config_file, said.revision = "/srv/dev/.config/ccrelay/config.yaml", self.revision
        return said

    def _override(self, provider: str, key: pb.Key) -> pb.Override:
        return pb.Override(
            id=f"{provider}/{key.name}.enabled", provider=provider, key=key.fingerprint,
            setting="enabled", value="false", file_value="true", set_at_ms=self.began_ms,
        )  # fmt: skip

    # Usage

    async def query(self, request: Any, context: Any) -> Any:
        groups = list(request.group_by)
        if groups == [us.DIMENSION_HOUR]:
            return self._hours(request)
        if len(groups) == 2:
            return us.QueryResponse(rows=self._by_day(with_parts=True))
        if groups == [us.DIMENSION_DAY]:
            return self._whole(self._by_day(with_parts=False))
        if groups == [us.DIMENSION_PROJECT]:
            rows = [
                us.UsageRow(
                    group=[name], totals=totals(billed_micros=int(dollars * 1e6), exchanges=9)
                )
                for name, dollars in _PROJECTS
            ]
            return us.QueryResponse(
                rows=rows, total=totals(billed_micros=int(sum(d for _, d in _PROJECTS) * 1e6))
            )
        if not groups:
            return us.QueryResponse(
                total=totals(
                    exchanges=self.count(request),
                    billed_micros=2_310_000,
                    moved_micros=1_430_000,
                )
            )
        if groups == [us.DIMENSION_KEY]:
            names = ("anthropic/team-a", "anthropic/login", "bedrock/eu-role", "zai/plan")
            said = examples.usage()
            for row, name in zip(said.rows, names, strict=True):
                row.group[:] = [name]
            return said
        return examples.usage()

    def _hours(self, request: Any) -> us.QueryResponse:
        """Office hours, as far as they lie in the range."""
        rows = []
        for hour in range(7 * 24):
            at = self.began_ms - hour * 3_600_000
            when = time.localtime(at / 1000)
            if at < request.since_ms or not 9 <= when.tm_hour <= 17 or when.tm_wday > 5:
                continue
            name = time.strftime("%Y-%m-%dT%H", when)
            micros = 900_000 + 310_000 * (hour % 4)
            rows.append(us.UsageRow(group=[name], totals=totals(exchanges=9, billed_micros=micros)))
        return us.QueryResponse(rows=rows[::-1])

    def _by_day(self, *, with_parts: bool) -> list[us.UsageRow]:
        rows = []
        for back, amounts in enumerate(reversed(_DAYS)):
            day = time.strftime("%Y-%m-%d", time.localtime((self.began_ms - back * DAY_MS) / 1000))
            parts = zip(_MODELS, amounts, strict=True) if with_parts else [("", sum(amounts))]
            for model, dollars in parts:
                group = [day, model] if with_parts else [day]
                sums = totals(exchanges=60, billed_micros=int(dollars * 1e6))
                rows.append(us.UsageRow(group=group, totals=sums))
        return rows[::-1]

    def _whole(self, rows: list[us.UsageRow]) -> us.QueryResponse:
        said = examples.usage()
        del said.rows[:]
        said.rows.extend(rows)
        return said

    async def export(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        yield us.ExportResponse(data=b"id,model\r\n")
        yield us.ExportResponse(data=b"req_ccrelay_07f3a1c,claude-opus-5-5\r\n")

    async def list_exchanges(self, request: Any, context: Any) -> Any:
        if "moved:yes" in request.filter:
            rows = [one for one in self.exchanges if one.moved]
            return ex.ExchangesListResponse(exchanges=rows)
        return await super().list_exchanges(request, context)

    # Providers

    async def set_key_enabled(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        self.keys_enabled[(request.provider, request.key)] = request.enabled
        said = next(one for one in self.status().providers if one.name == request.provider)
        return pb.SetKeyEnabledResponse(provider=said)

    async def set_enabled(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        await context.abort(
            grpc.StatusCode.FAILED_PRECONDITION, "It is the last provider that is enabled."
        )

    async def overrides(self, request: Any, context: Any) -> Any:
        found = [one for provider in self.status().providers for key in provider.keys
                 for one in key.overrides]  # fmt: skip
        return pb.ListOverridesResponse(overrides=found)

    async def probe(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        paid = request.kind == pb.PROBE_KIND_MESSAGE
        return pb.ProbeResponse(
            ok=True, latency_ms=912, status=200, model=HAIKU, message="The key is accepted.",
            cost_micros=60 if paid else 0,
        )  # fmt: skip

    # Routing

    async def rules(self, request: Any, context: Any) -> Any:
        at = self.began_ms
        rows = (
            ("background", ["request_class: [background]"], ["providers: [zai]"], 55, 60_000),
            ("explore", ["request_class: [subagent]", "model: [claude-haiku*]"],
             ["providers: [anthropic]"], 58, 20_000),
            ("team-projects", ["headers: {x-project: payments-*}"],
             ["providers: [anthropic, bedrock]"], 121, 4_000),
            ("long", ["tokens_over: 400000"], ["providers: [anthropic]"], 0, 0),
        )  # fmt: skip
        return ro.ListRulesResponse(
            rules=[
                ro.RuleInfo(
                    name=name, when=when, use=use, matched=matched, cost_micros=matched * 61_000,
                    last_matched_at_ms=at - before if matched else 0,
                )
                for name, when, use, matched, before in rows
            ],
            unmatched=184,
        )  # fmt: skip

    async def explain(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return moved_by(examples.explanation(), self.shift_ms)

    # Config

    async def config(self, request: Any, context: Any) -> Any:
        text = self.file.replace("200000", "400000") if request.revision == 13 else self.file
        return cf.ConfigGetResponse(
            file="/srv/dev/.config/ccrelay/config.yaml", format="yaml", revision=self.revision,
            text=text, effective=self.file, digest=digest_of(self.file),
        )  # fmt: skip

    async def validate(self, request: Any, context: Any) -> Any:
        try:
            load_text(request.text.encode(), Path("config.yaml"))
        except ConfigError as error:
            return cf.ValidateResponse(problems=problems(error.problems))
        changed = request.text != self.file
        return cf.ValidateResponse(
            ok=True, changes=["providers[1].priority: 5 -> 8"] if changed else []
        )

    async def revisions(self, request: Any, context: Any) -> Any:
        said = moved_by(examples.revisions(), self.shift_ms)
        said.revisions[0].digest = digest_of(self.file)
        return said

    async def apply(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        if request.base != digest_of(self.file):
            await context.abort(
                grpc.StatusCode.ABORTED,
                "The file has changed since it was read: get it again and repeat the change.",
            )
        self.file, self.revision = request.text, self.revision + 1
        return cf.ApplyResponse(revision=self.revision)

    # Setup

    async def detect(self, request: Any, context: Any) -> Any:
        environment = (
            "A key in the environment: the file names the variable and never holds the key."
        )
        return su.DetectResponse(
            found=[
                su.Found(type="anthropic", name="anthropic", source="login of Claude Code",
                         usable=True, note="Claude Code's own login passes through: no key."),
                su.Found(type="zai", name="zai", source="ZAI_API_KEY", usable=True,
                         note=environment),
                su.Found(type="ollama", name="ollama", source="127.0.0.1:11434",
                         note="It runs, and has no model yet: ollama pull qwen3:32b",
                         base_url="http://127.0.0.1:11434"),
            ],
            file="/srv/dev/.config/ccrelay/config.yaml", has_config=self.has_config,
            keychain=False, keychain_problem="no keychain answers on this machine",
            command="ccrelay claude",
        )  # fmt: skip

    async def check(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        if request.provider.key == "untried" and not request.model:
            said = "It answers; whether it accepts the key shows only a request for one token."
            return su.CheckResponse(unproven=True, latency_ms=31, message=said, models=[OPUS])
        ok = request.provider.key != "wrong"
        said = "It answers." if ok else "The key is refused (401): copy it again."
        models = [OPUS, HAIKU] if ok else []
        return su.CheckResponse(
            ok=ok, latency_ms=912, status=200 if ok else 401, message=said, models=models,
            cost_micros=60 if request.model else 0,
        )  # fmt: skip

    async def write(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        text = "providers:\n" + "".join(
            f"  - name: {one.name or one.type}\n    type: {one.type}\n" for one in request.providers
        )
        return su.WriteResponse(
            file="/srv/dev/.config/ccrelay/config.yaml", text=text,
            revision=0 if request.dry_run else 1, command="ccrelay claude",
            written=[] if request.dry_run else ["config.yaml, mode 0600", "the relay uses it now"],
        )  # fmt: skip

    def behaviours(self) -> dict[str, Behaviour]:
        return super().behaviours() | {
            "Usage/Query": self.query,
            "Usage/Export": self.export,
            "Exchanges/List": self.list_exchanges,
            "Providers/SetKeyEnabled": self.set_key_enabled,
            "Providers/SetEnabled": self.set_enabled,
            "Providers/ListOverrides": self.overrides,
            "Providers/Probe": self.probe,
            "Routing/ListRules": self.rules,
            "Routing/Explain": self.explain,
            "Config/Get": self.config,
            "Config/Validate": self.validate,
            "Config/ListRevisions": self.revisions,
            "Config/Apply": self.apply,
            "Setup/Detect": self.detect,
            "Setup/Check": self.check,
            "Setup/Write": self.write,
        }
