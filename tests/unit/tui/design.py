"""The design's relay as the dashboard sees it: state, answers, and a feed that answers at once."""

from collections.abc import Callable
from typing import Any

from ccrelay.cli.connection import Failed
from ccrelay.cli.screen import Screen
from ccrelay.tui.dashboard import Dashboard
from ccrelay.tui.live import Live
from ccrelay.tui.once import DirectFeed
from ccrelay.tui.paint import bare
from ccrelay.v1 import (
    config_pb2 as cf,
    exchanges_pb2 as ex,
    providers_pb2 as pb,
    relay_pb2 as rl,
    routing_pb2 as ro,
    usage_pb2 as us,
)
from tests.unit.cli import examples
from tests.unit.cli.served import FakeRelay, day, status

NOW_MS = day("14:32:08")
HAIKU, SONNET, OPUS, GLM = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "glm-5.3"
CONFIG_FILE = "~/.config/ccrelay/config.yaml"

# When each key answered, minutes before now, and by what; as the lanes of the design.
_LANES = {
    "anthropic/login": (SONNET, "19.6 19.2 18.3 17.8 17.5 16.1 12.1 10.9 10.5 7.6 7.2 5.2 3.3"),
    "anthropic/team-a": (OPUS, "19.8 19.4 18.8 18.5 17.4 16.1 15.4 13.9 12.0 11.7 9.1 7.7 6.5"),
    "anthropic/team-b": (HAIKU, "18.9 18.2 17.7 9.3 8.9 5.0"),
    "zai/plan": (GLM, "19.9 17.2 14.9 12.4 10.0 7.5 4.8 2.6 1.4"),
}


def lane_exchanges() -> list[ex.Exchange]:
    """Exchanges of the last twenty minutes, for the lanes, oldest first."""
    made = []
    for target, (model, minutes) in _LANES.items():
        for number, before in enumerate(minutes.split()):
            one = examples.exchange(
                0x1000 + 100 * len(made) + number, "14:00:00", "payments-api", target, model=model,
                duration_ms=18_000.0,
            )  # fmt: skip
            one.started_at_ms = NOW_MS - int(float(before) * 60_000)
            made.append(one)
    failed = examples.exchange(
        0xFA17, "14:31:05", "infra-live", "zai/plan", sent_model=GLM, attempts=2,
        outcome=ex.OUTCOME_FAILOVER, first_event_ms=2_240, duration_ms=9_800, micros=140_000,
        billing=pb.BILLING_PLAN,
    )  # fmt: skip
    return sorted([*made, failed], key=lambda one: one.started_at_ms)


def attempts_of_failed() -> list[ex.Attempt]:
    return [
        ex.Attempt(provider="anthropic", key="team-b", duration_ms=300, status=429,
                   verdict="rate_limit"),
        ex.Attempt(provider="zai", key="plan", started_ms=310, duration_ms=9_490, status=200,
                   verdict="answered"),
    ]  # fmt: skip


def running() -> ex.WatchRunningResponse:
    """The three streams of the design."""
    known = {"kind": "messages", "phase": ex.Running.PHASE_STREAMING, "attempts": 1}
    return ex.WatchRunningResponse(
        total=3,
        at_ms=NOW_MS,
        running=[
            ex.Running(id="req_ccrelay_0a1", started_at_ms=NOW_MS - 24_000, model=SONNET,
                       traffic_class="subagent", agent="general-purpose", project="payments-api",
                       provider="bedrock", key="eu-role", first_event_ms=1300, **known),
            ex.Running(id="req_ccrelay_0a2", started_at_ms=NOW_MS - 10_200, model=SONNET,
                       sent_model=GLM, traffic_class="main", project="infra-live", provider="zai",
                       key="plan", first_event_ms=1610, **known),
            ex.Running(id="req_ccrelay_0a3", started_at_ms=NOW_MS - 3_100, model=SONNET,
                       traffic_class="main", project="handbook", provider="anthropic", key="login",
                       first_event_ms=920, bytes_out=18_400, **known),
        ],
    )  # fmt: skip


def sessions() -> us.ListSessionsResponse:
    def one(
        project: str, session: str, first: str, last: str, turns: int, agents: int, target: str,
        prompt: int, **totals: int,
    ) -> us.Session:  # fmt: skip
        return us.Session(
            session=f"{session}aa-9b0e", project=project, first_at_ms=day(first),
            last_at_ms=day(last), turns=turns, agents=agents, target=target, prompt_tokens=prompt,
            model=SONNET,
            totals=pb.Totals(input_tokens=600, cache_read_tokens=9_400, exchanges=turns, **totals),
        )  # fmt: skip

    return us.ListSessionsResponse(
        sessions=[
            one("payments-api", "3f8c41", "12:41:00", "14:31:44", 47, 9, "bedrock/eu-role",
                190_100, billed_micros=13_840_000, moves=1, moved_micros=970_000),
            one("handbook", "b20e77", "13:55:00", "14:32:05", 38, 0, "anthropic/login", 91_300,
                plan_micros=3_020_000),
            one("infra-live", "9ad105", "14:02:00", "14:31:58", 22, 0, "zai/plan", 100_100,
                billed_micros=3_770_000, moves=1),
            one("dotfiles", "51c9d0", "10:20:00", "11:31:00", 31, 0, "anthropic/login", 0,
                plan_micros=3_800_000),
        ]
    )  # fmt: skip


def rules() -> ro.ListRulesResponse:
    return ro.ListRulesResponse(
        rules=[
            ro.RuleInfo(name="titles", when=["request_class: background"],
                        use=["providers: [zai]", "models: {'*': glm-5.3}"], matched=297,
                        last_matched_at_ms=day("14:31:12"), cost_micros=412_000),
            ro.RuleInfo(name="long", when=["min_tokens: 200000"], use=["providers: [bedrock]"]),
        ],
        unmatched=2_400,
    )  # fmt: skip


def days() -> us.QueryResponse:
    amounts = (12, 31, 8, 22, 45, 19, 26)
    return us.QueryResponse(
        rows=[
            us.UsageRow(group=[f"2026-11-{27 + at:02}" if at < 4 else f"2026-12-{at - 3:02}"],
                        totals=pb.Totals(billed_micros=amount * 1_000_000, exchanges=10))
            for at, amount in enumerate(amounts)
        ],
        total=pb.Totals(exchanges=70),
    )  # fmt: skip


def agents() -> us.QueryResponse:
    def row(name: str, exchanges: int, micros: int) -> us.UsageRow:
        return us.UsageRow(
            group=[name], totals=pb.Totals(exchanges=exchanges, billed_micros=micros)
        )

    return us.QueryResponse(
        rows=[row("", 47, 11_200_000), row("Explore", 31, 1_900_000),
              row("general-purpose", 4, 740_000)],
    )  # fmt: skip


def query(request: us.QueryRequest) -> us.QueryResponse:
    """Sums by what was asked for."""
    if list(request.group_by) == [us.DIMENSION_DAY]:
        return days()
    if list(request.group_by) == [us.DIMENSION_AGENT]:
        return agents()
    return examples.usage()


def listed(request: ex.ExchangesListRequest) -> ex.ExchangesListResponse:
    """Exchanges, or those that left a warm cache."""
    only_moved = request.filter.endswith(" moved:yes")
    found = [one for one in examples.exchanges() if one.moved or not only_moved]
    return ex.ExchangesListResponse(exchanges=found)


def config() -> cf.ConfigGetResponse:
    return cf.ConfigGetResponse(
        file=CONFIG_FILE, format="yaml", revision=14, digest="00",
        text="providers:\n  - name: anthropic\n    prioritty: 3\n",
        effective="providers:\n- name: anthropic\n  keys:\n  - hmac:04f4a1b2\n",
    )  # fmt: skip


def mistake() -> cf.ValidateResponse:
    return cf.ValidateResponse(
        ok=False,
        problems=[
            cf.Problem(error=True, line=3, column=5, path="providers[0]",
                       message="unknown key 'prioritty'. Did you mean 'priority'?"),
        ],
    )  # fmt: skip


def fake_relay(**others: Any) -> FakeRelay:
    """A relay that answers what the design shows; `others` replace its answers."""
    answers: dict[str, Any] = {
        "Relay/GetStatus": rl.GetStatusResponse(status=status()),
        "Relay/WatchStatus": [rl.WatchStatusResponse(status=status(), whole=True)],
        "Exchanges/List": listed,
        "Exchanges/Get": examples.detail(),
        "Exchanges/Tail": [ex.TailResponse(exchanges=examples.exchanges()[::-1])],
        "Exchanges/WatchRunning": [running()],
        "Usage/Query": query,
        "Usage/ListSessions": sessions(),
        "Routing/ListRules": rules(),
        "Routing/Explain": examples.explanation(),
        "Config/Get": config(),
        "Config/Validate": mistake(),
        "Config/ListRevisions": examples.revisions(),
        "Config/Rollback": cf.RollbackResponse(revision=15),
        "Providers/SetEnabled": pb.SetEnabledResponse(),
        "Providers/SetKeyEnabled": pb.SetKeyEnabledResponse(),
        "Providers/ClearCooldown": pb.ClearCooldownResponse(cleared=1),
        "Providers/SetWeight": pb.SetWeightResponse(),
        "Providers/Probe": pb.ProbeResponse(
            ok=True, latency_ms=310, status=200, message="The key is accepted.", model=HAIKU
        ),
    }
    fake = FakeRelay(**(answers | {name.replace("__", "/"): v for name, v in others.items()}))
    return fake


class _Calls:
    """Calls of a fake relay, whose failures are those of commands."""

    def __init__(self, fake: FakeRelay) -> None:
        self._fake = fake

    def call(self, method: str, request: Any, response_type: Any, timeout_s: Any = None) -> Any:
        return self._fake.call(method, request, response_type, timeout_s)


class FakeFeed(DirectFeed):
    """Answers at once; keeps the filters that were to be followed."""

    def __init__(self, fake: FakeRelay, live: Live) -> None:
        super().__init__(_Calls(fake))  # type: ignore[arg-type]
        self._live = live
        self.followed: list[str] = []
        self.is_open = False

    def follow(self, filter_text: str) -> None:
        self.followed.append(filter_text)
        self._live.begin_filter(on=bool(filter_text))
        if filter_text:
            matching = [one for one in examples.exchanges() if filter_text in one.project]
            self._live.on_filtered(ex.TailResponse(exchanges=matching[::-1]))

    def start(self) -> None:
        self.is_open = True

    def drain(self) -> bool:
        return False

    def close(self) -> None:
        self.is_open = False


def filled() -> Live:
    """The state of the design."""
    live = Live()
    said = status()
    live.on_status(rl.WatchStatusResponse(status=said, whole=True))
    shown = examples.exchanges()[::-1]
    every = sorted([*lane_exchanges(), *shown], key=lambda one: one.started_at_ms)
    live.on_exchanges(ex.TailResponse(exchanges=every))
    live.on_attempts(examples.FAILED_OVER, examples.detail().attempts)
    failed = next(one for one in every if one.id.endswith("fa17"))
    live.on_attempts(failed, attempts_of_failed())
    live.on_running(running())
    return live


class Shown:
    """A dashboard with the design's data, of one size."""

    def __init__(
        self, width: int = 80, height: int = 24, *, live: Live | None = None,
        unicode: bool = True, **answers: Any,
    ) -> None:  # fmt: skip
        self.relay = fake_relay(**answers)
        self.live = live if live is not None else filled()
        self.feed = FakeFeed(self.relay, self.live)
        self.copied: list[str] = []
        self.now_ms = NOW_MS
        self.dashboard = Dashboard(
            self.live, self.feed, lambda: self.now_ms, self.copied.append, "none"
        )
        self.dashboard.pages[6]._read = lambda path: "providers: []\n"  # type: ignore[attr-defined]
        self.screen = Screen(
            width=width, height=height, colour=True, unicode=unicode, terminal=True,
            encoding="utf-8" if unicode else "ascii",
        )  # fmt: skip
        self.height = height
        self.dashboard.ask()

    def painted(self) -> list[str]:
        self.dashboard.lines(self.screen, self.height)
        return self.dashboard.lines(self.screen, self.height)

    def lines(self) -> list[str]:
        return [bare(line).rstrip() for line in self.painted()]

    def text(self) -> str:
        return "\n".join(self.lines())

    def press(self, *keys: str) -> list[str]:
        """Press keys by their names, single characters by themselves; return the screen."""
        for key in keys:
            self.lines()
            char = key if len(key) == 1 else " " if key == "space" else None
            names = {"/": "slash", "[": "left_square_bracket", "?": "question_mark"}
            self.dashboard.key(names.get(key, key), char)
        return self.lines()

    def type(self, text: str) -> None:
        for char in text:
            self.dashboard.key(char, char)

    def asked(self, method: str) -> list[Any]:
        return self.relay.of(method)


def failing(message: str, code: str = "") -> Callable[[Any], Failed]:
    """An answer of a fake relay that is a failure."""
    return lambda request: Failed(message, code=code)
