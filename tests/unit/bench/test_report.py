"""The arithmetic and the rendering of the bench, on a small recorded result."""

from pathlib import Path
from typing import Any

import pytest

from bench.loopback import report, run
from bench.loopback.report import Record
from bench.loopback.scenarios import SCENARIOS, TARGETS, Target


def load(p50: float, cpu: float, **more: Any) -> dict[str, Any]:
    figures = {"rate": 1000.0, "p50_us": p50, "p99_us": 2 * p50, "p999_us": 3 * p50}
    counts = {"first_us": 0.0, "cpu_us": cpu, "peak_kb": 1024, "done": 100, "wanted": 100}
    return figures | counts | {"errors": {}, "steal_ticks": 0} | more


def record(*runs: tuple[str, str, int, dict[str, Any]], **more: Any) -> Record:
    keys = ("scenario", "peer", "round", "figures")
    data = {"commit": "abc", "date": "2026-01-02 03:04 UTC", "rounds": 2, "machine": {"CPU": "x1"}}
    lists = {"precautions": ["pinned"], "runs": [dict(zip(keys, one, strict=True)) for one in runs]}
    return Record(data | lists | more)


# The machine is twice as slow in round 1: paired ratios do not notice.
SMALL = record(
    ("S1a", "direct", 0, load(10, 0)),
    ("S1a", "nginx", 0, load(50, 40)),
    ("S1a", "ccrelay", 0, load(60, 60)),
    ("S1a", "ccrelay", 1, load(120, 120)),
    ("S1a", "nginx", 1, load(100, 80)),
    ("S1a", "direct", 1, load(20, 0)),
)


def target(quantity: str, scenario: str) -> Target:
    return next(t for t in TARGETS if t.quantity == quantity and t.scenario == scenario)


def test_ratios_are_taken_within_a_round():
    assert SMALL.ratios("S1a", "ccrelay", "cpu_us") == [1.5, 1.5]


def test_added_latency_is_counted_from_direct_of_the_same_round():
    assert SMALL.added("S1a", "ccrelay", "p50_us") == {0: 50, 1: 100}
    assert SMALL.added_ratios("S1a", "ccrelay") == [1.25, 1.25]


def test_a_round_without_its_reference_gives_no_ratio():
    alone = record(("S1a", "nginx", 0, load(50, 40)), ("S1a", "ccrelay", 1, load(60, 60)))
    assert alone.ratios("S1a", "ccrelay", "cpu_us") == []


def test_a_reference_that_added_nothing_gives_no_ratio():
    level = record(
        ("S1a", "direct", 0, load(50, 0)),
        ("S1a", "nginx", 0, load(50, 40)),
        ("S1a", "ccrelay", 0, load(60, 60)),
    )
    assert level.added_ratios("S1a", "ccrelay") == []


def test_a_failed_round_counts_as_an_error_and_not_as_a_figure():
    failed = {"failed": "loadgen ended with 1", "errors": {"failed": 1}}
    broken = record(("S1a", "ccrelay", 0, failed), ("S1a", "ccrelay", 1, load(60, 60)))
    assert broken.values("S1a", "ccrelay", "cpu_us") == [60]
    assert broken.all_errors(("ccrelay",)) == 1
    assert broken.all_errors(("nginx",)) == 0


def test_tls_scenarios_are_compared_with_the_tls_peer():
    assert report.reference("T4") == "nginx_tls"
    assert report.reference("S3") == "nginx"


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.9, "reaches the aim"), (1.1, "holds the must"), (1.11, "MISSES")],
)
def test_a_verdict_compares_the_median_with_both_bounds(value: float, words: str):
    assert report.verdict(target("added_p50", "S1a"), [0.1, value, 9.9]) == words


def test_of_what_must_be_complete_the_worst_round_decides():
    complete = target("complete_percent", "S6a")
    assert report.verdict(complete, [100, 100]) == "reaches the aim"
    assert report.verdict(complete, [100, 100, 99.98]) == "MISSES"


FAILOVER = record(
    ("F1", "ccrelay_steady", 0, load(10, 50)),
    ("F1", "ccrelay_failover", 0, load(20, 90)),
    ("F1", "ccrelay_failover", 1, load(20, 220)),
    ("F1", "ccrelay_steady", 1, load(10, 100)),
)


def test_a_failover_is_compared_with_the_same_request_of_its_round():
    rows = {row["scenario"]: row for row in report.summary(FAILOVER)}
    shown = [rows["F1"][column] for column in ("measured", "must", "aim", "verdict")]
    assert shown == ["2.00x", "-", "2.00x", "reaches the aim"]


def test_what_has_no_must_is_measured_and_cannot_miss():
    assert report.verdict(target("cpu_times", "F1"), [9.0]) == "measured"


def test_streams_that_begin_together_show_their_first_event():
    together = record(
        ("S5", "direct", 0, load(10, 0, first_us=1000.0)),
        ("S5", "nginx", 0, load(50, 40, first_us=4000.0)),
        ("S5", "ccrelay", 0, load(60, 60, first_us=6000.0)),
    )
    text = report.markdown(together)
    assert "| peer | first event us | first event / nginx | events/s |" in text
    assert "| direct | 1,000.0 | - | 1,000 |" in text
    assert "| ccrelay | 6,000.0 | 1.50 | 1,000 |" in text
    (row,) = (row for row in report.summary(together) if row["scenario"] == "S5")
    assert (row["measured"], row["verdict"]) == ("1.50x", "holds the must")


def test_what_nobody_measured_is_said_to_be_so():
    rows = {row["quantity"]: row for row in report.summary(SMALL)}
    assert len(rows) == len(TARGETS)
    assert rows["start of `serve` to the first answer"]["verdict"] == "not measured"
    assert rows["start of `serve` to the first answer"]["measured"] == "-"


def test_no_errors_are_claimed_for_a_ccrelay_that_did_not_run():
    rows = {row["quantity"]: row for row in report.summary(record())}
    assert rows["errors of ccrelay in all runs"]["verdict"] == "not measured"


def test_the_summary_shows_measured_spread_must_and_aim():
    rows = {row["quantity"]: row for row in report.summary(SMALL)}
    row = rows["small request, 1 connection: added p50 / nginx"]
    assert list(row.values())[1:] == [
        "S1a",
        "1.25x",
        "1.25 to 1.25",
        "1.10x",
        "0.90x",
        "MISSES",
    ]


def test_a_silent_log_counts_as_an_error_of_ccrelay():
    noted = record(("S1a", "ccrelay", 0, load(60, 60)), notes=["ccrelay wrote no log lines"])
    rows = {row["quantity"]: row for row in report.summary(noted)}
    assert rows["errors of ccrelay in all runs"]["measured"] == "1"
    assert rows["errors of ccrelay in all runs"]["verdict"] == "MISSES"


def test_tables_name_every_peer_and_dash_what_does_not_apply():
    text = report.markdown(SMALL)
    assert "### S1a: small request" in text
    assert "| direct | 1,000 | 15.0 | 30.0 | - | - | - | - | - | 0 |" in text
    assert "| ccrelay | 1,000 | 90.0 | 180.0 | 75.0 | 150.0 | 1.25 | 90.0 | 1.50 | 0 |" in text
    assert "S1b:" not in text


def test_cold_starts_are_shown_in_their_own_columns():
    cold = load(60, 60, start_s=0.25, idle_pss=51200, idle_anon=25600, idle_processes=2)
    cold |= {"used_pss": 61440, "used_anon": 30720, "used_processes": 2}
    text = report.markdown(record(("M1", "ccrelay", 0, cold)))
    assert "| ccrelay | 2 | 0.250 | 50.0 | 25.0 | 60.0 | 30.0 | 0 |" in text
    assert "| 0.25 s | - | 0.32 s | 0.25 s | reaches the aim |" in text
    assert "| 50 MB | - | 50 MB | 40 MB | holds the must |" in text


def test_every_kind_of_error_is_shown_with_its_count():
    wrong = load(60, 60, errors={"crc": 2, "http": 1500})
    assert "| crc: 2, http: 1,500 |" in report.markdown(record(("S1a", "ccrelay", 0, wrong)))


def test_rendering_replaces_what_stands_between_the_markers(tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{report.BEGIN}\nstale\n{report.END}\nbelow\n")
    report.render(readme, SMALL)
    once = readme.read_text()
    assert once.startswith(f"above\n{report.BEGIN}\n")
    assert once.endswith(f"\n{report.END}\nbelow\n")
    assert "stale" not in once
    report.render(readme, SMALL)
    assert readme.read_text() == once


def test_rendering_refuses_a_page_without_markers(tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text("no markers")
    with pytest.raises(SystemExit, match="lacks the markers"):
        report.render(readme, SMALL)
    assert readme.read_text() == "no markers"


RAW = {
    "conns": 5000,
    "wanted": 5000,
    "measured": 4999,
    "rps": 1.0,
    "eps": 2.0,
    "lat_us": {"p50": 1, "p99": 2, "p999": 3},
    "event_us": {"p50": 4, "p99": 5, "p999": 6},
    "first_us": {"p50": 7},
    "errors": {"http": 0, "unfinished": 1},
    "bad_status": 0,
    "peer": {
        "cpu_us_per_event": 8,
        "cpu_us_per_req": 9,
        "peak_kb": 120_000,
        "leaf_peak_kb": 90_000,
    },
}


def test_streams_are_told_by_their_events_and_memory_by_stream():
    figures = run.condense(SCENARIOS["S6a"], RAW, 50_000, strict=False)
    assert (figures["p50_us"], figures["cpu_us"], figures["rate"]) == (4, 8, 2.0)
    assert figures["kb_per_stream"] == 8.0
    assert figures["errors"] == {"unfinished": 1}


def test_a_closed_loop_that_ended_by_time_is_an_error_only_when_strict():
    figures = run.condense(SCENARIOS["S1a"], RAW, 0, strict=False)
    assert (figures["p50_us"], figures["cpu_us"], figures["rate"]) == (1, 9, 1.0)
    assert figures["errors"] == {}
    assert run.errors(RAW, strict=True) == {"unfinished": 1}


@pytest.mark.parametrize(
    ("refused", "wrong"), [(20_500, 0), (20_564, 0), (20_499, 1), (1_000, 19_500), (20_570, 6)]
)
def test_every_request_has_to_meet_the_refusal_where_failover_is_measured(refused: int, wrong: int):
    raw = {"done": 20_500, "conns": 64}
    assert run.wrongly_routed(raw, refused, fails_over=True) == wrong


def test_no_request_may_meet_a_refusal_where_failover_is_not_measured():
    raw = {"done": 20_500, "conns": 64}
    assert run.wrongly_routed(raw, 0, fails_over=False) == 0
    assert run.wrongly_routed(raw, 3, fails_over=False) == 3


def test_the_first_bad_status_is_told():
    refused = RAW | {"errors": {"http": 3, "unfinished": 0}, "bad_status": 400}
    assert run.errors(refused, strict=True) == {"http, first 400": 3}


def test_the_page_of_the_bench_has_the_markers():
    page = (Path(report.__file__).parents[1] / "README.md").read_text()
    assert page.count(report.BEGIN) == page.count(report.END) == 1
    assert page.index(report.BEGIN) < page.index(report.END)
