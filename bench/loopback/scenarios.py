"""What is measured, and what ccrelay must reach.

`args` go to `loadgen` (options: the top of `loadgen.c`, letters of `-s`: `answer.h`).
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["requests", "streams", "start"]
Quantity = Literal[
    "cpu",
    "added_p50",
    "complete_percent",
    "kb_per_stream",
    "start_s",
    "idle_mb",
    "first_event",
    "cpu_more_us",
    "cpu_times",
    "errors",
]


@dataclass(frozen=True)
class Scenario:
    """One load, run once per peer and round."""

    title: str
    args: str
    smoke: str  # a tiny one that only shows whether everything arrives
    kind: Kind
    tls: bool = False  # whether the upstream is spoken to over TLS
    streams: int = 0  # wanted at once; how much memory each takes is measured
    only: tuple[str, ...] = ()  # these peers take part, and in nothing else
    at_once: bool = False  # streams that begin together: the time to the first event is shown
    calm: bool = True  # False: the load saturates, so latency is queueing and no quality of a peer


@dataclass(frozen=True)
class Target:
    """One line of the summary: a quantity of ccrelay in one scenario, and its bounds."""

    label: str
    scenario: str  # "" for a quantity of all of them together
    quantity: Quantity
    unit: str
    must: float | None  # None: measured, and no more than aimed at
    aim: float
    at_least: bool = False  # the bounds are lower bounds


SMALL_64 = "-m closed -C 64 -n 20000 -w 500 -B 2048 -s r=1024 -t 3"
SMALL_64_SMOKE = "-m closed -C 64 -n 256 -w 64 -B 2048 -s r=1024 -t 10"
MEGABYTE = "-m closed -C 1 -n 200 -w 10 -B 1048576 -s r=1024 -t 3"
MEGABYTE_SMOKE = "-m closed -C 1 -n 4 -w 1 -B 1048576 -s r=1024 -t 10"

SCENARIOS = {
    "S1a": Scenario(
        "small request (2 KB in, 1 KB out), 1 connection",
        "-m closed -C 1 -n 6000 -w 100 -B 2048 -s r=1024 -t 3",
        "-m closed -C 1 -n 40 -w 2 -B 2048 -s r=1024 -t 10",
        "requests",
    ),
    "S1b": Scenario(
        "small request (2 KB in, 1 KB out), 64 connections",
        SMALL_64,
        SMALL_64_SMOKE,
        "requests",
        calm=False,
    ),
    "S2b": Scenario(
        "100 KB request body, 64 connections",
        "-m closed -C 64 -n 5000 -w 200 -B 102400 -s r=1024 -t 3",
        "-m closed -C 64 -n 128 -w 64 -B 102400 -s r=1024 -t 10",
        "requests",
        calm=False,
    ),
    "S2c": Scenario("1 MB request body, 1 connection", MEGABYTE, MEGABYTE_SMOKE, "requests"),
    "S3": Scenario(
        "1 stream, 200 events, one per ms",
        "-m stream -C 1 -n 4 -w 1 -s n=200,b=60,d=1000 -t 5",
        "-m stream -C 1 -n 2 -w 1 -s n=40,b=60,d=1000 -t 10",
        "streams",
    ),
    "S4a": Scenario(
        "64 streams, 150 events each, one per 20 ms",
        "-m stream -C 64 -n 64 -s n=150,b=60,d=20000 -t 8",
        "-m stream -C 64 -n 64 -s n=20,b=60,d=5000 -t 10",
        "streams",
    ),
    "S5": Scenario(
        "200 streams begun at the same instant, 10 times, 10 events each",
        "-m stream -A -C 200 -n 2000 -w 200 -s n=10,b=60,d=10000,j=0 -t 10",
        "-m stream -A -C 50 -n 100 -w 50 -s n=4,b=60,d=5000,j=0 -t 10",
        "streams",
        at_once=True,
    ),
    "S6a": Scenario(
        "5,000 slow streams at once (one event per s, 10 s)",
        "-m stream -C 5000 -n 5000 -s n=10,b=60,d=1000000 -t 25",
        "-m stream -C 200 -n 200 -s n=4,b=60,d=100000 -t 10",
        "streams",
        streams=5000,
    ),
    "T1b": Scenario(
        "upstream over TLS: small request (2 KB in, 1 KB out), 64 connections",
        SMALL_64,
        SMALL_64_SMOKE,
        "requests",
        tls=True,
        calm=False,
    ),
    "T4": Scenario(
        "upstream over TLS: 200 streams, 60 events each, one per 10 ms",
        "-m stream -C 200 -n 200 -s n=60,b=60,d=10000 -t 6",
        "-m stream -C 32 -n 32 -s n=10,b=60,d=5000 -t 10",
        "streams",
        tls=True,
    ),
    "T2c": Scenario(
        "upstream over TLS: 1 MB request body, 1 connection",
        MEGABYTE,
        MEGABYTE_SMOKE,
        "requests",
        tls=True,
    ),
    "R1": Scenario(
        "what routing costs: S1b with one key, and with 3 providers x 4 keys, all limits on",
        SMALL_64,
        SMALL_64_SMOKE,
        "requests",
        only=("ccrelay_one", "ccrelay_many"),
        calm=False,
    ),
    "F1": Scenario(
        "what a failover costs: S1b with a first target that serves, and one that answers 529",
        SMALL_64,
        SMALL_64_SMOKE,
        "requests",
        only=("ccrelay_steady", "ccrelay_failover"),
        calm=False,
    ),
    "M1": Scenario(
        "start to the first answer, idle memory, memory after 1,000 requests",
        "-m closed -C 16 -n 1000 -B 2048 -s r=1024 -t 20",
        "-m closed -C 16 -n 50 -B 2048 -s r=1024 -t 10",
        "start",
    ),
}

TARGETS = (
    Target("small request, 64 connections: CPU per request / nginx", "S1b", "cpu", "x", 2.0, 1.3),
    Target("small request, 1 connection: added p50 / nginx", "S1a", "added_p50", "x", 1.1, 0.9),
    Target("100 KB request, 64 connections: CPU per request / nginx", "S2b", "cpu", "x", 0.7, 0.5),
    Target("1 MB request body: CPU per request / nginx", "S2c", "cpu", "x", 0.5, 0.3),
    Target("1 stream: added p50 per event / nginx", "S3", "added_p50", "x", 1.15, 0.9),
    Target("1 stream: CPU per event / nginx", "S3", "cpu", "x", 1.05, 0.9),
    Target("64 streams: added p50 per event / nginx", "S4a", "added_p50", "x", 1.15, 0.9),
    Target("64 streams: CPU per event / nginx", "S4a", "cpu", "x", 1.05, 0.9),
    Target(
        "200 streams begun at the same instant: median time to first event / nginx",
        "S5",
        "first_event",
        "x",
        1.5,
        1.1,
    ),
    Target("5,000 slow streams: complete", "S6a", "complete_percent", "%", 100, 100, True),
    Target("5,000 slow streams: memory per stream", "S6a", "kb_per_stream", "KB", 8, 6),
    Target(
        "TLS upstream, small request, 64 connections: CPU per request / nginx",
        "T1b",
        "cpu",
        "x",
        2.0,
        1.0,
    ),
    Target("TLS upstream, 200 streams: CPU per event / nginx", "T4", "cpu", "x", 1.05, 0.9),
    Target("TLS upstream, 1 MB body: CPU per request / nginx", "T2c", "cpu", "x", 0.6, 0.5),
    Target("start of `serve` to the first answer", "M1", "start_s", "s", 0.32, 0.25),
    Target("idle memory (PSS), supervisor and one worker", "M1", "idle_mb", "MB", 50, 40),
    Target(
        "12 keys with limits, more than 1 key without: CPU per request",
        "R1",
        "cpu_more_us",
        "us",
        4,
        2,
    ),
    Target("failover: CPU per request / the same without", "F1", "cpu_times", "x", None, 2.0),
    Target("errors of ccrelay in all runs", "", "errors", "", 0, 0),
)

PEERS = (
    "direct",
    "nginx",
    "ccrelay",
    "nginx_tls",
    "ccrelay_tls",
    "ccrelay_one",
    "ccrelay_many",
    "ccrelay_steady",
    "ccrelay_failover",
)
# Peers of scenarios that name theirs; they play in no other.
SPECIAL = frozenset(name for scenario in SCENARIOS.values() for name in scenario.only)
