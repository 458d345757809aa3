"""The explanation on the live state."""

from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings, strategies as st

from ccrelay.cli.cells import width_of
from ccrelay.cli.route import explain
from ccrelay.cli.route_live import live_lines
from ccrelay.control.client import CallFailed, NoRelay
from ccrelay.v1 import routing_pb2 as ro
from tests.unit.cli import examples
from tests.unit.cli.served import FakeRelay, day, plain, relay, zone
from tests.unit.cli.test_cells import NAMES

pytestmark = pytest.mark.usefixtures("zone")
__all__ = ["relay", "zone"]

AT_80 = """\
request   claude-opus-5-5: main
rule      titles does not match (request_class: background)
rule      none
strategy  failover
cache     anthropic/team-a, 184.3k tokens of prompt cache are there
target    anthropic/team-a as claude-opus-5-5
why       the conversation has its prompt cache there

   CANDIDATE           NOW                ROOM  OPEN   FIRST    TURN  CACHED
1  anthropic/team-a    taken              94 %     0  1.41 s  $0.123  $0.012
2  anthropic/team-b    cooldown 0:47       0 %     0  0.71 s  $0.123  $0.012
3  bedrock/eu-role     breaker open 0:22     -     1       -       ?       ?

not eligible
  zai: serves no claude-opus-5-5
"""


def test_at_80_columns() -> None:
    lines = live_lines(examples.explanation(), "claude-opus-5-5", day("14:32:08"), plain())
    assert "\n".join(lines) + "\n" == AT_80


def test_what_is_left_out_is_told_once_for_a_provider() -> None:
    answer = examples.explanation()
    now = day("14:32:08")
    for one in answer.candidates[:2]:
        one.left_out.add(feature="effort", until_ms=now + 3_600_000)
        one.left_out.add(feature="beta:x-2027-01-01", until_ms=now - 1)
    lines = live_lines(answer, "claude-opus-5-5", now, plain())
    assert lines[-2:] == [
        "left out, because it was refused",
        "  anthropic: effort (1:00:00), beta:x-2027-01-01 (0:00)",
    ]


def test_no_target_is_said() -> None:
    lines = live_lines(ro.ExplainResponse(), "x", 0, plain())
    assert "target    none now: it would get an error" in lines
    assert lines[-1] == "No target serves this model."
    waits = ro.ExplainResponse(waits_ms=3_200)
    assert "target    none now: it would wait in the queue" in live_lines(waits, "x", 0, plain())


def run(*arguments: str) -> Any:
    return CliRunner().invoke(explain, ["--model", "claude-opus-5-5", *arguments])


def test_the_running_relay_is_asked_what_routing_reads(relay: FakeRelay) -> None:
    relay.answers["Routing/Explain"] = examples.explanation()
    ended = run(
        "--class", "subagent", "--tokens", "5", "--images", "--no-thinking", "--tools",
        "--header", "x-team: a", "--session", "3f8c",
    )  # fmt: skip
    assert ended.exit_code == 0
    assert ended.stdout.startswith("request   claude-opus-5-5: main\n")
    [request] = relay.of("Routing/Explain")
    assert request == ro.ExplainRequest(
        model="claude-opus-5-5", traffic_class="subagent", tokens=5, images=True, thinking=False,
        tools=True, headers={"x-team": "a"}, session="3f8c",
    )  # fmt: skip


def test_what_is_usual_is_left_to_the_relay(relay: FakeRelay) -> None:
    relay.answers["Routing/Explain"] = ro.ExplainResponse()
    assert run().exit_code == 1
    [request] = relay.of("Routing/Explain")
    assert not request.HasField("thinking")
    assert not request.HasField("tools")


def test_json_says_that_it_is_live(relay: FakeRelay) -> None:
    relay.answers["Routing/Explain"] = examples.explanation()
    assert run("--json").stdout.startswith('{\n  "live": true,\n  "target": "anthropic/team-a"')


@pytest.fixture
def configured(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    file = tmp_path / "c.yaml"
    file.write_text("providers: [{name: local, type: ollama, models: [claude-opus-5-5]}]\n")
    monkeypatch.setenv("CCRELAY_CONFIG", str(file))
    return str(file)


def test_without_a_relay_it_is_by_the_configuration_and_says_so(
    relay: FakeRelay, configured: str
) -> None:
    relay.answers["Routing/Explain"] = NoRelay("No relay runs.")
    ended = run()
    assert ended.exit_code == 0
    assert ended.stderr == "No relay runs. So this is by the configuration.\n"
    assert ended.stdout.rstrip().endswith("caches are not considered.")
    assert '"live": false' in run("--json").stdout


@pytest.mark.parametrize("how", [["--offline"], ["--config"]])
def test_a_file_or_a_wish_asks_no_relay(relay: FakeRelay, configured: str, how: list[str]) -> None:
    ended = run(*how, *([configured] if how == ["--config"] else []))
    assert ended.exit_code == 0
    assert relay.asked == []


def test_other_failures_are_failures(relay: FakeRelay, configured: str) -> None:
    relay.answers["Routing/Explain"] = CallFailed("UNAVAILABLE", "starting")
    assert (run().exit_code, run().stderr) == (1, "starting\n")
    relay.answers["Routing/Explain"] = NoRelay("nobody listens there")
    assert run("--socket", "/x").exit_code == 3


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=6, max_size=6), st.sampled_from([20, 40, 80, 120, 140]))
def test_no_line_is_longer_than_the_width_for_any_names(names: list[str], width: int) -> None:
    answer = examples.explanation()
    answer.target, answer.sent_model, answer.choice.sentence = names[0], names[1], names[2]
    answer.candidates[0].target, answer.candidates[0].sent_model = names[3], names[1]
    answer.candidates[1].why = names[4]
    answer.ineligible[0].provider = answer.rules_missed[0].rule = names[5]
    for line in live_lines(answer, names[4], 0, plain(width)):
        assert width_of(line) <= width
        assert line.isprintable()
