"""The layouts of `ccrelay keys` and `ccrelay providers`."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ccrelay.cli.cells import width_of
from ccrelay.cli.keys_view import NOTHING, forecast, keys_lines, providers_lines
from ccrelay.v1 import providers_pb2 as pb
from tests.unit.cli.served import at, day, plain, status, zone
from tests.unit.cli.test_cells import NAMES

pytestmark = pytest.mark.usefixtures("zone")
__all__ = ["zone"]

KEYS = """\
3 in use, 1 idle, 1 in cooldown.

  KEY                 STATE          OPEN   ROOM  WEIGHT  PRIO  FINGERPRINT
A anthropic/login     in use            1      -       0     0  hmac:04f4a1b2
A anthropic/team-a    idle              0   94 %       0     0  hmac:9c1e0000
A anthropic/team-b    cooldown 0:47     0    0 %       0     0  hmac:b7d20000
B bedrock/eu-role     in use            1   82 %       0     0  hmac:e83c0000
Z zai/plan            in use            1   88 %       0     0  hmac:51aa0000

WINDOW OF             NAME   USED   RESET        AT THIS RATE
anthropic/login       5h     62 %   in 1:27:52   lasts, 88 % by reset
anthropic/login       7d     71 %!  in 2 d 18 h  runs out Sat 08:00, 25 h early
zai/plan              5h     18 %   in 2:37:52   lasts, 38 % by reset
zai/plan              7d     22 %   in 4 d 9 h   lasts, 59 % by reset

anthropic/team-b: 429
"""
PROVIDERS = """\
3 providers, 1 breaker open, 1 breaker half-open.

  PROVIDER      STATE     BREAKER      KEYS  PAID BY   FIRST  ADDRESS
A anthropic     enabled   closed     2 of 3  tokens        -  api.anthropic.com
B bedrock       enabled   open       1 of 1  tokens        -  eu-west-1
Z zai           enabled   half-open  1 of 1  plan          -  api.z.ai

bedrock: 3 failures, open since 14:19:52; probe in 0:22
zai: one request at a time is let through
"""


def test_keys_at_80_columns() -> None:
    said = status()
    assert "\n".join(keys_lines(said.providers, said.at_ms, plain())) + "\n" == KEYS


def test_providers_at_80_columns() -> None:
    said = status()
    assert "\n".join(providers_lines(said.providers, said.at_ms, plain())) + "\n" == PROVIDERS


def test_nothing_is_said_with_what_to_do() -> None:
    assert keys_lines([], 0, plain()) == [NOTHING]
    assert providers_lines([], 0, plain()) == [NOTHING]


def test_rests_of_groups_and_disabled_providers() -> None:
    key = pb.Key(name="k", state=pb.Key.STATE_IDLE)
    key.group_cooldowns.add(group="opus", until_ms=61_000)
    key.group_cooldowns.add(group="haiku", until_ms=1)
    provider = pb.Provider(name="p", keys=[key], overrides=[pb.Override(id="p.enabled")])
    assert keys_lines([provider], 1_000, plain())[-1] == "p/k: opus models rest for another 1:00"
    lines = providers_lines([provider], 1_000, plain())
    assert lines[0] == "1 provider, 1 disabled."
    assert lines[3].startswith("P p*            disabled  -")


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (pb.Window(utilization=0.2), "-"),
        (pb.Window(utilization=1.2), "used up"),
        (pb.Window(utilization=0.5, utilization_at_reset=0.8), "lasts, 80 % by reset"),
        (pb.Window(full_at_ms=day("16:20:00")), "runs out 16:20:00"),
        (
            pb.Window(full_at_ms=day("16:20:00"), resets_at_ms=day("16:50:00")),
            "runs out 16:20:00, 30 min early",
        ),
        (
            pb.Window(full_at_ms=day("16:20:00"), resets_at_ms=at("2026-12-08 16:20:00")),
            "runs out 16:20:00, 5 d 0 h early",
        ),
    ],
)
def test_forecasts(window: pb.Window, text: str) -> None:
    assert forecast(window, day("14:32:08")) == text


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=4, max_size=4), st.sampled_from([20, 40, 80, 120, 140]))
def test_no_line_is_longer_than_the_width_for_any_names(names: list[str], width: int) -> None:
    said = status()
    for provider in said.providers:
        provider.name, provider.base_url = names[0], names[1]
        for key in provider.keys:
            key.name, key.cooldown_reason = names[2], names[3]
            for window in key.windows:
                window.name = names[3]
    for lines in (keys_lines, providers_lines):
        for line in lines(said.providers, said.at_ms, plain(width)):
            assert width_of(line) <= width
            assert line.isprintable()
