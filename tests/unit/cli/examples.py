"""What a relay says of exchanges, usage, prices, routing and configuration, as in the design."""

from typing import Any

from ccrelay.v1 import (
    config_pb2 as cf,
    exchanges_pb2 as ex,
    providers_pb2 as pb,
    routing_pb2 as ro,
    usage_pb2 as us,
)
from tests.unit.cli.served import at, day

ID = "req_ccrelay_0"


def exchange(number: int, clock: str, project: str, target: str, **members: Any) -> ex.Exchange:
    """One exchange; `target` is `provider/key`, `model` the one asked for."""
    provider, _, key = target.partition("/")
    micros = members.pop("micros", 37_000)
    billing = members.pop("billing", pb.BILLING_TOKENS)
    cost = ex.Cost(known=micros is not None, micros=micros or 0, billing=billing)
    cost.moved_micros = members.pop("moved_micros", 0)
    known = {
        "kind": "messages",
        "traffic_class": "main",
        "model": "claude-sonnet-5-5",
        "status": 200,
        "outcome": ex.OUTCOME_OK,
        "attempts": 1,
        "first_event_ms": 1020.0,
        "duration_ms": 23_100.0,
        "stream": True,
        "tokens": ex.Tokens(input=100, output=200, cache_read=10_000),
    }
    known["sent_model"] = members.get("model", known["model"])
    return ex.Exchange(
        id=f"{ID}{number:x}", started_at_ms=day(clock), project=project, provider=provider, key=key,
        session="3f8c41aa-9b0e", cost=cost, **{**known, **members},
    )  # fmt: skip


FAILED_OVER = exchange(
    0x7F3A1C, "14:27:41", "payments-api", "bedrock/eu-role", model="claude-opus-5-5",
    outcome=ex.OUTCOME_FAILOVER, attempts=2, first_event_ms=2460, duration_ms=16_600,
    micros=1_069_000, moved=True, moved_micros=970_000,
)  # fmt: skip


def exchanges() -> list[ex.Exchange]:
    """The exchanges that the design shows, newest first."""
    haiku, opus = "claude-haiku-5-5", "claude-opus-5-5"
    burst = [
        exchange(
            n, "14:22:10", "handbook", "anthropic/login", kind="count_tokens", stream=False,
            first_event_ms=0, duration_ms=400, micros=0, tokens=ex.Tokens(),
        )
        for n in range(2, 27)
    ]  # fmt: skip
    rows = [
        exchange(1, "14:21:37", "infra-live", "anthropic/team-b"),
        *burst,
        exchange(30, "14:24:11", "payments-api", "anthropic/team-a", model=opus,
                 first_event_ms=1440, duration_ms=38_200, micros=123_000),
        exchange(31, "14:26:48", "handbook", "anthropic/login", outcome=ex.OUTCOME_CLIENT_LEFT,
                 first_event_ms=940, duration_ms=7_000, micros=18_000),
        exchange(32, "14:27:20", "payments-api", "anthropic/team-b", model=haiku,
                 traffic_class="subagent", agent="Explore", first_event_ms=510, duration_ms=6_200,
                 micros=1_000),
        FAILED_OVER,
        exchange(34, "14:29:50", "payments-api", "anthropic/team-b", model=haiku,
                 traffic_class="subagent", agent="Explore", queued_ms=3_200, first_event_ms=3_710,
                 duration_ms=10_100, micros=1_000),
        exchange(35, "14:31:12", "payments-api", "zai/plan", model=haiku, sent_model="glm-5.3",
                 traffic_class="background", first_event_ms=710, duration_ms=1_100, micros=2_000,
                 billing=pb.BILLING_PLAN),
    ]  # fmt: skip
    return rows[::-1]


def running() -> ex.WatchRunningResponse:
    """What is under way in the design."""

    def one(number: int, clock: str, **members: Any) -> ex.Running:
        return ex.Running(id=f"req_ccrelay_0{number:x}", started_at_ms=day(clock), **members)

    streaming = ex.Running.PHASE_STREAMING
    return ex.WatchRunningResponse(
        total=3,
        at_ms=day("14:32:08"),
        running=[
            one(0x1A, "14:31:44", phase=streaming, kind="messages", traffic_class="subagent",
                model="claude-sonnet-5-5", sent_model="claude-sonnet-5-5", provider="bedrock",
                key="eu-role", attempts=1, project="payments-api", agent="general-purpose",
                first_event_ms=1300, bytes_out=40_000),
            one(0x1B, "14:31:58", phase=streaming, kind="messages", traffic_class="main",
                model="claude-sonnet-5-5", sent_model="glm-5.3", provider="zai", key="plan",
                attempts=2, project="infra-live", first_event_ms=1610, bytes_out=9_000,
                failed="overloaded"),
            one(0x1C, "14:32:05", phase=ex.Running.PHASE_QUEUED, kind="messages",
                traffic_class="main", model="claude-sonnet-5-5", session="b20e77aa"),
        ],
    )  # fmt: skip


def detail() -> ex.ExchangesGetResponse:
    """The exchange of the design that was moved."""
    attempts = [
        ex.Attempt(provider="anthropic", key="team-a", started_ms=0.4, duration_ms=410, status=529,
                   verdict="overloaded", error="overloaded_error: Overloaded",
                   sent_model="claude-opus-5-5"),
        ex.Attempt(provider="bedrock", key="eu-role", started_ms=411, duration_ms=16_189,
                   status=200, verdict="answered", sent_model="claude-opus-5-5"),
    ]  # fmt: skip
    one = ex.Exchange()
    one.CopyFrom(FAILED_OVER)
    one.own_us, one.stop_reason, one.bytes_in, one.bytes_out = 180, "end_turn", 731_000, 18_400
    one.cost.uncached_micros, one.cost.prices_version = 1_104_000, "2026-11-22"
    return ex.ExchangesGetResponse(
        exchange=one,
        attempts=attempts,
        choice=ex.Choice(
            strategy="failover",
            reason="failover",
            sentence="anthropic/team-a failed (status 529), so bedrock/eu-role was asked.",
            passed=[
                ex.Passed(target="anthropic/team-a", why="tried"),
                ex.Passed(target="anthropic/team-b", why="cooldown"),
                ex.Passed(target="zai/plan", why="available"),
            ],
        ),
        bill=[
            ex.BillLine(item="input", tokens=412, price_micros=5_000_000, micros=2_060),
            ex.BillLine(item="cache_write_5m", tokens=164_300, price_micros=6_250_000,
                        micros=1_026_875),
            ex.BillLine(item="output", tokens=1_603, price_micros=25_000_000, micros=40_075),
        ],
    )  # fmt: skip


def usage() -> us.QueryResponse:
    """Seven days by model, as the design shows them."""

    def row(name: str, *figures: int) -> us.UsageRow:
        return us.UsageRow(group=[name], totals=_totals(figures))

    return us.QueryResponse(
        rows=[
            row("claude-opus-5-5", 868, 1_110_000, 10_640_000, 205_800_000, 1_270_000,
                100_440_000, 24_880_000, 776_310_000),
            row("claude-sonnet-5-5", 1_084, 551_600, 6_620_000, 124_610_000, 1_070_000,
                19_800_000, 21_210_000, 234_170_000),
            row("claude-haiku-5-5", 448, 1_360_000, 3_060_000, 28_600_000, 455_000,
                910_000, 120_000, 2_500_000),
            row("glm-5.3", 297, 2_060_000, 0, 15_870_000, 312_300, 0, 8_380_000, 18_090_000),
        ],
        total=_totals((2_697, 5_080_000, 20_310_000, 374_880_000, 3_110_000,
                       121_150_000, 54_590_000, 1_031_070_000), moved_micros=1_430_000, moves=4),
        prices_version="2026-11-22",
        today_expected_micros=37_600_000,
    )  # fmt: skip


def _totals(figures: tuple[int, ...], **more: int) -> pb.Totals:
    names = ("exchanges", "input_tokens", "cache_write_tokens", "cache_read_tokens")
    names += ("output_tokens", "billed_micros", "plan_micros", "saved_micros")
    return pb.Totals(**dict(zip(names, figures, strict=True)), **more)


def sessions() -> us.ListSessionsResponse:
    """The sessions of the design, the latest first."""

    def one(session: str, project: str, since: str, last: str, **members: Any) -> us.Session:
        totals = members.pop("totals")
        return us.Session(
            session=session, project=project, first_at_ms=day(since), last_at_ms=day(last),
            totals=totals, **members,
        )  # fmt: skip

    return us.ListSessionsResponse(
        sessions=[
            one("3f8c41aa-1111", "payments-api", "12:41:00", "14:32:00", turns=47, agents=2,
                target="bedrock/eu-role", model="claude-opus-5-5", prompt_tokens=190_100,
                totals=pb.Totals(exchanges=83, billed_micros=13_840_000, input_tokens=1_000_000,
                                 cache_read_tokens=18_830_000, cache_write_tokens=200_000,
                                 output_tokens=128_100)),
            one("b20e7755-2222", "handbook", "13:55:00", "14:32:05", turns=38,
                target="anthropic/login", model="claude-sonnet-5-5", prompt_tokens=91_300,
                totals=pb.Totals(exchanges=63, plan_micros=3_020_000, input_tokens=40,
                                 cache_read_tokens=960)),
            one("51c9d000-3333", "", "10:20:00", "11:31:00",
                totals=pb.Totals(exchanges=2, unpriced=2)),
        ]
    )  # fmt: skip


def session_parts() -> us.QueryResponse:
    """The first session of `sessions` by agent, class, model, key."""
    rows: list[tuple[list[str], int, int]] = [
        (["", "main", "claude-opus-5-5", "anthropic/team-a"], 40, 9_000_000),
        (["", "main", "claude-opus-5-5", "bedrock/eu-role"], 7, 2_020_000),
        (["general-purpose", "subagent", "claude-sonnet-5-5", "anthropic/team-a"], 22, 790_000),
        (["Explore", "subagent", "claude-haiku-5-5", "anthropic/team-b"], 14, 20_000),
        (["", "background", "glm-5.3", "zai/plan"], 21, 0),
    ]
    return us.QueryResponse(
        rows=[
            us.UsageRow(group=group, totals=pb.Totals(exchanges=exchanges, billed_micros=micros))
            for group, exchanges, micros in rows
        ]
    )


def rules() -> ro.ListRulesResponse:
    """Rules of the design."""
    return ro.ListRulesResponse(
        rules=[
            ro.RuleInfo(
                name="background", when=["request_class: [background]"],
                use=["providers: [zai]", "model: glm-5.3"], matched=55,
                last_matched_at_ms=day("14:31:12"), cost_micros=210_000,
            ),
            ro.RuleInfo(name="rules[1]", when=[], use=["strategy: failover"]),
        ],
        unmatched=184,
    )  # fmt: skip


def prices() -> us.PricesResponse:
    return us.PricesResponse(
        version="2026-11-22",
        prices=[
            us.ModelPrice(model="claude-*", provider="bedrock", configured=True,
                          input_micros=3_300_000, output_micros=16_500_000,
                          cache_read_micros=330_000, cache_write_5m_micros=4_125_000,
                          cache_write_1h_micros=6_600_000),
            us.ModelPrice(model="claude-opus-5-5", provider="*", input_micros=5_000_000,
                          output_micros=25_000_000, cache_read_micros=500_000,
                          cache_write_5m_micros=6_250_000, cache_write_1h_micros=10_000_000),
            us.ModelPrice(model="glm-5.3", provider="zai", input_micros=600_000,
                          output_micros=2_200_000, cache_read_micros=110_000,
                          above_tokens=200_000),
        ],
    )  # fmt: skip


def explanation() -> ro.ExplainResponse:
    now = day("14:32:08")
    return ro.ExplainResponse(
        target="anthropic/team-a", sent_model="claude-opus-5-5", traffic_class="main",
        choice=ex.Choice(strategy="failover", reason="affinity",
                         sentence="the conversation has its prompt cache there"),
        affinity_target="anthropic/team-a", affinity_tokens=184_300,
        candidates=[
            ro.Candidate(target="anthropic/team-a", sent_model="claude-opus-5-5", available=True,
                         room=0.94, first_event_ms=1410, new_micros=123_000, cached_micros=12_000),
            ro.Candidate(target="anthropic/team-b", sent_model="claude-opus-5-5", why="cooldown",
                         available_at_ms=now + 47_000, room=0.0, first_event_ms=710,
                         new_micros=123_000, cached_micros=12_000),
            ro.Candidate(target="bedrock/eu-role", sent_model="claude-opus-5-5",
                         why="breaker_open", available_at_ms=now + 22_000, in_flight=1),
        ],
        ineligible=[ro.Ineligible(provider="zai", reasons=["serves no claude-opus-5-5"])],
        rules_missed=[ro.RuleMiss(rule="titles", unmet=["request_class: background"])],
    )  # fmt: skip


def revisions() -> cf.ListRevisionsResponse:
    return cf.ListRevisionsResponse(
        revisions=[
            cf.Revision(revision=14, applied_at_ms=at("2026-12-03 13:02:11"), origin="apply",
                        comment="more room for team-b", lines_added=2, lines_removed=1),
            cf.Revision(revision=13, applied_at_ms=at("2026-12-01 09:00:00"), origin="file"),
        ]
    )  # fmt: skip
