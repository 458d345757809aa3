"""The layout of `ccrelay status`, word by word and width by width."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ccrelay.cli.cells import width_of
from ccrelay.cli.screen import Screen
from ccrelay.cli.status_view import status_lines
from ccrelay.v1 import providers_pb2 as pb, relay_pb2 as rl
from tests.unit.cli.served import plain, status, zone
from tests.unit.cli.test_cells import NAMES

pytestmark = pytest.mark.usefixtures("zone")
__all__ = ["zone"]

# Of the design; better where it could be: failures are counted, tokens are shown.
AT_80 = """\
ccrelay 0.3.0, up 5 h 19 min, 127.0.0.1:8787, 2 workers             Thu 14:32:08
Answering. 3 streams open, 418 exchanges today, 6 failovers, none lost.

  KEY                 STATE          OPEN   ROOM    5 H    7 D    FIRST    TODAY
A anthropic/login     in use            1      -   62 %   71 %!  0.93 s   $6.84p
A anthropic/team-a    idle              0   94 %      -      -   1.41 s  $13.26
A anthropic/team-b    cooldown 0:47     0    0 %      -      -   0.71 s   $2.09
B bedrock/eu-role     in use            1   82 %      -      -   1.69 s   $2.19
Z zai/plan            in use            1   88 %   18 %   22 %   1.12 s   $1.64p

  ADDRESS             BREAKER
B eu-west-1           open       3 failures, open since 14:19:52; probe in 0:22
Z api.z.ai            half-open  one request at a time is let through

! login: the 7-day window runs out Sat 08:00, 25 h before its reset.
Billed today $17.54. Plans (p) cover $8.48 at list price. Caches saved $150.89.
Tokens today: 1.11M input, 3.06M cache write, 61.20M cache read, 312.3k output.
"""
AT_40 = """\
ccrelay 0.3.0, up 5 h 19 min,
127.0.0.1:8787, 2 workers
Thu 14:32:08
Answering. 3 streams open, 418 exchanges
today, 6 failovers, none lost.

  KEY         STATE          OPEN   ROOM
A login       in use            1      -
A team-a      idle              0   94 %
A team-b      cooldown 0:47     0    0 %
B eu-role     in use            1   82 %
Z zai/plan    in use            1   88 %
"""


def test_at_80_columns_it_is_the_design() -> None:
    assert "\n".join(status_lines(status(), plain(80))) + "\n" == AT_80


def test_at_40_columns_the_last_columns_are_gone_and_no_digit() -> None:
    assert "\n".join(status_lines(status(), plain(40))).startswith(AT_40)


def test_a_wide_terminal_shows_more() -> None:
    heading = status_lines(status(), plain(120))[3]
    assert heading.endswith("TODAY  EXCH.  TOKENS  SAVED")


def test_without_unicode_there_is_only_ascii() -> None:
    said = status()
    said.providers[0].keys[0].name = "schlüssel"
    screen = Screen(width=60, unicode=False, encoding="ascii")
    assert "\n".join(status_lines(said, screen)).isascii()


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"answering": False}, "Not answering: for some model no target can be used now."),
        ({"state": rl.Status.STATE_DRAINING}, "Draining: it ends when what runs has ended."),
        ({"state": rl.Status.STATE_STARTING}, "Starting: not all workers serve yet."),
        ({"queued": 2}, "3 streams open, 2 waiting for room"),
        ({"in_flight": 1}, "1 stream open"),
        ({"reload_problem": "a.yaml:3: no"}, "! The last reload changed nothing: a.yaml:3: no"),
    ],
)
def test_what_is_not_usual_is_said(change: dict[str, object], shown: str) -> None:
    said = status()
    for name, value in change.items():
        setattr(said, name, value)
    assert shown in "\n".join(status_lines(said, plain(140)))


def test_another_version_of_the_command_is_said() -> None:
    assert not any(
        "version" in line for line in status_lines(status(), plain(), own_version="0.3.0")
    )
    lines = status_lines(status(), plain(), own_version="0.4.0")
    assert "! This command is of version 0.4.0, the relay runs 0.3.0." in lines
    assert "  do: kill -USR2 4711" in lines


def test_an_error_is_marked_as_one_and_has_its_command() -> None:
    said = status()
    said.notices.add(
        severity=rl.Notice.SEVERITY_ERROR, subject="ledger", message="The disk is full.",
        command="df -h",
    )  # fmt: skip
    lines = status_lines(said, plain())
    assert lines[lines.index("✕ ledger: The disk is full.") + 1] == "  do: df -h"


def test_what_the_tables_say_is_not_said_again() -> None:
    said = status()
    for subject, command in [
        ("anthropic/team-b", "ccrelay keys clear-cooldown anthropic/team-b"),
        ("bedrock", "ccrelay providers probe bedrock"),
    ]:
        said.notices.add(severity=rl.Notice.SEVERITY_WARNING, subject=subject, command=command)
    assert "\n".join(status_lines(said, plain())) + "\n" == AT_80
    said.notices[2].severity = rl.Notice.SEVERITY_ERROR
    assert "✕ bedrock" in status_lines(said, plain())
    said.notices[1].subject = "anthropic/team-a"  # not in cooldown: of a group of models
    assert "! anthropic/team-a" in status_lines(said, plain())


def test_many_notices_are_few_lines() -> None:
    said = status()
    for number in range(7):
        said.notices.add(severity=rl.Notice.SEVERITY_WARNING, subject=str(number), message="x")
    lines = status_lines(said, plain())
    assert "! 3: x" in lines
    assert "! 4: x" not in lines
    assert "  3 more notices: ccrelay status --json" in lines


def test_a_failed_reload_is_said_once() -> None:
    said = status()
    said.reload_problem = "a.yaml:3: no"
    said.notices.add(severity=rl.Notice.SEVERITY_ERROR, subject="config", message="a.yaml:3: no.")
    assert sum("a.yaml:3" in line for line in status_lines(said, plain())) == 1


def test_without_windows_their_columns_are_not_there() -> None:
    said = status()
    for provider in said.providers:
        for key in provider.keys:
            del key.windows[:]
    assert " 5 H " not in status_lines(said, plain())[3]


def test_without_providers_it_says_what_to_do() -> None:
    said = status()
    del said.providers[:]
    assert "No provider. Write a configuration: ccrelay init" in status_lines(said, plain())


def test_what_was_set_at_run_time_is_marked() -> None:
    said = status()
    said.providers[1].overrides.add(id="bedrock.enabled")
    assert any("bedrock/eu-role*" in line for line in status_lines(said, plain()))


def test_caches_that_were_only_written_have_cost_something() -> None:
    said = status()
    said.today.saved_micros = -30_000
    text = " ".join(" ".join(status_lines(said, plain(80))).split())
    assert "Writing to caches has cost $0.03 more than they saved." in text


def test_nothing_today_is_no_trouble() -> None:
    lines = status_lines(rl.Status(), plain())
    assert "Billed today $0." in lines
    assert "Tokens today: 0 input, 0 output." in lines


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(NAMES, min_size=9, max_size=9),
    st.sampled_from([20, 40, 80, 120, 140]),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
)
def test_no_line_is_longer_than_the_width_for_any_names(
    names: list[str], width: int, unicode: bool, number: int
) -> None:
    said = status()
    for provider, name in zip(said.providers, names[:3], strict=True):
        provider.name = name
        provider.base_url = names[3]
        for key in provider.keys:
            key.name = names[4]
            key.today.billed_micros = number // 10**6
            key.cooldown_until_ms = said.at_ms + abs(number) % 10**10
    said.version, said.reload_problem, said.listen[0] = names[5], names[6], names[7]
    said.notices[0].subject, said.notices[0].command = names[8], names[0]
    encoding = "utf-8" if unicode else "ascii"
    screen = plain(width, unicode=unicode, encoding=encoding)
    for line in status_lines(said, screen, own_version=names[1]):
        assert width_of(line) <= width
        assert line.isprintable()
        line.encode(encoding)


def test_a_key_of_an_unknown_state_is_no_traceback() -> None:
    key = pb.Key(name="k", state=77)  # type: ignore[arg-type]
    said = rl.Status(providers=[pb.Provider(name="p", keys=[key], billing=88)])  # type: ignore[arg-type]
    assert any("p/k" in line for line in status_lines(said, plain()))
