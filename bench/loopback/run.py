"""Rounds: every peer once per round, the order reversed in every other round.

All peers are up during the loads, and asleep (SIGSTOP) unless it is their turn. Cold starts come
first, while nothing else is up: shared pages would be split among the peers.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.loopback import machine, processes, programs
from bench.loopback.peer import TOKEN, Peer, Surroundings
from bench.loopback.scenarios import SCENARIOS, SPECIAL, Scenario
from bench.loopback.spec import Spec

LOADGEN_WAIT_S = 90.0
UPSTREAM_WAIT_S = 5.0
IDLE_S = 0.5  # after the first answer, before idle memory is read
STREAMS_MAX = max(scenario.streams for scenario in SCENARIOS.values())
SPARE_FILES = 1200  # descriptors besides the streams: idle connections of the peers asleep

Result = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to run. `smoke`: tiny loads, everything checked, nothing said about speed."""

    scenarios: tuple[str, ...]
    peers: tuple[Spec, ...]
    rounds: int
    smoke: bool = False
    tls: bool = True


class Session:
    """The mock upstream, the spinners, the peers and a temporary folder, for one run."""

    def __init__(self, plan: Plan, tmp: Path, precautions: machine.Precautions) -> None:
        self.plan = plan
        self.precautions = precautions
        self.nofile = machine.raise_open_files(2 * STREAMS_MAX + SPARE_FILES)
        taken: set[int] = set()
        ports = machine.free_port(taken), machine.free_port(taken)
        around = Surroundings(tmp, *ports, self.nofile, precautions)
        self.peers = [Peer(spec, around, taken) for spec in plan.peers]
        self._tmp, self._ports = tmp, ports
        self._programs: list[subprocess.Popen[bytes]] = []

    # ---- life ----

    def open(self) -> None:
        """Start the mock upstream and the spinners."""
        careful, (plain, tls) = self.precautions, self._ports
        command = [str(programs.UPSTREAM), "-p", str(plain)]
        if self.plan.tls:
            programs.make_certificates(self._tmp)
            command += ["-T", str(tls)]
            command += ["--cert", f"{self._tmp}/server.pem", "--key", f"{self._tmp}/server.key"]
        policy = os.SCHED_FIFO if careful.realtime else None
        self._launch(command, careful.ours, policy, machine.UPSTREAM_PRIORITY)
        if careful.ours is not None and not self.plan.smoke:
            for core in (careful.ours, careful.theirs):
                self._launch([str(programs.SPIN)], core, os.SCHED_IDLE, 0)
        self._wait_for_upstream()

    def _launch(self, command: list[str], core: int | None, policy: int | None, prio: int) -> None:
        with (self._tmp / "programs.out").open("ab") as output:
            place = machine.placed(core, policy, prio)
            self._programs.append(
                subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=place)
            )

    def _wait_for_upstream(self) -> None:
        give_up_at = time.monotonic() + UPSTREAM_WAIT_S
        while True:
            address = ("127.0.0.1", self._ports[0])
            with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
                return
            if self._programs[0].poll() is not None or time.monotonic() > give_up_at:
                said = (self._tmp / "programs.out").read_text(errors="replace")
                raise SystemExit(f"bench: the mock upstream did not start\n{said[-2000:]}")
            time.sleep(0.02)

    def close(self) -> None:
        """End everything that was started."""
        for peer in self.peers:
            peer.stop()
        for program in self._programs:
            program.terminate()
        for program in self._programs:
            program.wait()

    # ---- measuring ----

    @property
    def streams_max(self) -> int:
        """How many streams fit the open-file limit: each costs a relay two descriptors."""
        return (self.nofile - SPARE_FILES) // 2

    def load(self, peer: Peer, args: str) -> Result:
        """One run of the load generator; `failed` says why there is no result."""
        command = [str(programs.LOADGEN), "-p", str(peer.port), "-k", TOKEN, *args.split()]
        if peer.pid:
            command += ["-P", str(peer.pid)]
        if self.plan.smoke:
            command.append("-V")
        careful = self.precautions
        policy = os.SCHED_FIFO if careful.realtime else None
        before = self._refused()
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=LOADGEN_WAIT_S,
                check=False,
                preexec_fn=machine.placed(careful.ours, policy, machine.LOADGEN_PRIORITY),
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"loadgen took more than {LOADGEN_WAIT_S:.0f} s"}
        if done.returncode:
            return {"failed": done.stderr[-300:] or f"loadgen ended with {done.returncode}"}
        result: Result = json.loads(done.stdout)
        refused = self._refused() - before
        wrong = wrongly_routed(result, refused, fails_over=peer.spec.fails_over)
        result["errors"]["not failed over" if peer.spec.fails_over else "refused"] = wrong
        return result

    def _refused(self) -> int:
        """Requests so far that came to the mock upstream with the key of its overloaded part."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._ports[0], timeout=UPSTREAM_WAIT_S
        )
        try:
            connection.request("GET", "/counters")
            counters: dict[str, int] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return sum(counters.values())

    def cold_start(self, peer: Peer, args: str) -> Result:
        """Exec to the first answer; memory when idle and after the load."""
        begun_at = time.monotonic()
        peer.spawn()
        try:
            start_s = peer.wait_for_first_answer() - begun_at
            time.sleep(IDLE_S)
            idle = processes.proportional_kb(peer.pid)
            load = self.load(peer, args)
            time.sleep(IDLE_S / 2)
            used = processes.proportional_kb(peer.pid)
        finally:
            peer.stop()
        return load | {"start_s": start_s, "idle": idle, "used": used}

    def measure(self, name: str, peer: Peer) -> Result:
        """The figures of one peer in one scenario, once."""
        scenario = SCENARIOS[name]
        args = scenario.smoke if self.plan.smoke else scenario.args
        steal = machine.steal_ticks()
        if scenario.kind == "start":
            raw = self.cold_start(peer, args)
        else:
            with peer.awake():
                raw = self.load(peer, args)
        figures = condense(scenario, raw, peer.ready_leaf_kb, strict=self.plan.smoke)
        return figures | {"steal_ticks": machine.steal_ticks() - steal}

    def run(self) -> Iterator[Result]:
        """All rounds of all scenarios; yields each result as it comes."""
        cold = [name for name in self.plan.scenarios if SCENARIOS[name].kind == "start"]
        for name in cold:
            yield from self._rounds(name)
        warm = [name for name in self.plan.scenarios if name not in cold]
        if warm:
            for peer in self.peers:
                peer.start()
        for name in warm:
            yield from self._rounds(name)

    def _rounds(self, name: str) -> Iterator[Result]:
        scenario = SCENARIOS[name]
        if not self.plan.smoke and scenario.streams > self.streams_max:
            say(f"{name}: left out, it needs more than {self.nofile:,} open files per process")
            return
        for number in range(self.plan.rounds):
            for peer in self.peers if number % 2 == 0 else self.peers[::-1]:
                if not plays(peer.spec, scenario):
                    continue
                figures = self.measure(name, peer)
                what = short(figures, smoke=self.plan.smoke)
                say(f"{name} round {number + 1} {peer.name}: {what}")
                yield {"scenario": name, "peer": peer.name, "round": number, "figures": figures}


def plays(peer: Spec, scenario: Scenario) -> bool:
    """Whether the peer takes part: `direct` is what the latency of all others is counted from."""
    if scenario.only or peer.name in SPECIAL:
        return peer.name in scenario.only
    if not peer.cmd:
        return scenario.kind != "start"
    return peer.tls == scenario.tls


@contextlib.contextmanager
def session(plan: Plan, precautions: machine.Precautions) -> Iterator[Session]:
    """A session that is ended whatever happens, also by SIGTERM; its folder is removed."""
    before = os.sched_getaffinity(0)
    handler = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="ccrelay-bench-") as tmp:
        if precautions.ours is not None:
            os.sched_setaffinity(0, {precautions.ours})
        opened = Session(plan, Path(tmp), precautions)
        try:
            opened.open()
            yield opened
        finally:
            opened.close()
            os.sched_setaffinity(0, before)
            signal.signal(signal.SIGTERM, handler)


def condense(scenario: Scenario, raw: Result, ready_leaf_kb: int, *, strict: bool) -> Result:
    """The figures that a report needs, flat, out of what the load generator printed."""
    if "failed" in raw:
        return {"failed": raw["failed"], "errors": {"failed": 1}}
    streams, peer = scenario.kind == "streams", raw["peer"]
    latency = raw["event_us" if streams else "lat_us"]
    figures = {
        "rate": raw["eps" if streams else "rps"],
        "p50_us": latency["p50"],
        "p99_us": latency["p99"],
        "p999_us": latency["p999"],
        "first_us": raw["first_us"]["p50"],
        "cpu_us": peer["cpu_us_per_event" if streams else "cpu_us_per_req"],
        "peak_kb": peer["peak_kb"],
        "done": raw["measured"],
        "wanted": raw["wanted"],
        "errors": errors(raw, strict=strict or streams),
    }
    if scenario.streams and ready_leaf_kb:
        figures["kb_per_stream"] = (peer["leaf_peak_kb"] - ready_leaf_kb) / raw["conns"]
    if "start_s" in raw:
        figures["start_s"] = raw["start_s"]
        for moment in ("idle", "used"):
            figures |= {f"{moment}_{what}": n for what, n in raw[moment].items()}
    return figures


def wrongly_routed(raw: Result, refused: int, *, fails_over: bool) -> int:
    """Requests without the failover that is measured, or with one that is not.

    Args:
        raw: what the load generator printed.
        refused: requests that met the overloaded part of the upstream meanwhile.
        fails_over: whether each request must; else none may.
    """
    if not fails_over:
        return refused
    # Those under way at the end have met it and are not done, one per connection at most.
    fewest: int = raw["done"]
    most: int = fewest + raw["conns"]
    return max(fewest - refused, refused - most, 0)


def errors(raw: Result, *, strict: bool) -> dict[str, int]:
    """What went wrong, by kind. A closed loop may also end by time: only `strict` minds that."""
    found = {kind: n for kind, n in raw["errors"].items() if n}
    if not strict:
        found.pop("unfinished", None)
    if "http" in found:
        found[f"http, first {raw['bad_status']}"] = found.pop("http")
    return found


def short(figures: Result, *, smoke: bool) -> str:
    """One line for whoever watches."""
    if "failed" in figures:
        return f"FAILED: {figures['failed']}"
    if figures["errors"]:
        return f"ERRORS: {figures['errors']}"
    if smoke:
        return f"{figures['done']:,} complete, nothing damaged"
    if "start_s" in figures:
        return f"start {figures['start_s']:.3f} s, idle {figures['idle_pss'] / 1024:.1f} MB"
    return f"p50 {figures['p50_us']:,.1f} us, CPU {figures['cpu_us']:,.1f} us"


def say(text: str) -> None:
    """Progress goes to standard error: standard output is the report."""
    print(text, file=sys.stderr, flush=True)
