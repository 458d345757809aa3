"""What all exchanges of one worker share."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from ccrelay._fast.affinity_table import AffinityTable
from ccrelay._fast.conn import Reactor
from ccrelay._fast.endpoint_stats import RetryBudget
from ccrelay._fast.record_ring import RecordRing
from ccrelay.fleet.estimate import Estimator
from ccrelay.relay.body_worker import BodyWorker
from ccrelay.relay.notices import Notices
from ccrelay.relay.pending_queue import PendingQueue
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.relay.totals import Totals
from ccrelay.types import LogSink


class WorkerContext:
    """Clock, chance, log, shared tables and the configuration in force.

    Args:
        reactor: the worker's clock.
        log: where exchanges and events are written.
        rng: chance.
        wall: seconds since 1970.
        affinity: the table of conversations.
        budget: the fleet's retry budget.
        queue: requests that wait for a target.
        memory: the memory for request bodies.
        worker: unpacks and rewrites large bodies.
        id_prefix: begins the ids of this worker's requests.
        records: where finished exchanges are written for the manager; None: there is none.
        loop: the worker's event loop; None: nothing waits for credentials of clouds.
    """

    __slots__ = (
        "active",
        "affinity",
        "budget",
        "config",
        "estimator",
        "id_prefix",
        "log",
        "loop",
        "noted",
        "notices",
        "queue",
        "queued",
        "reactor",
        "records",
        "refused",
        "rng",
        "served",
        "totals",
        "wall",
        "worker",
    )

    def __init__(
        self,
        *,
        reactor: Reactor,
        log: LogSink,
        rng: random.Random,
        wall: Callable[[], float],
        affinity: AffinityTable,
        budget: RetryBudget,
        queue: PendingQueue,
        worker: BodyWorker,
        id_prefix: str,
        records: RecordRing | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.reactor = reactor
        self.log = log
        self.notices = Notices(log, reactor)
        self.noted: set[tuple[str, ...]] = set()  # events that are logged once per worker
        self.rng = rng
        self.wall = wall
        self.affinity = affinity
        self.budget = budget
        self.queue = queue
        self.queued: dict[Any, Any] = queue.entries  # every request asks whether it is empty
        self.worker = worker
        self.id_prefix = id_prefix
        self.records = records
        self.loop = loop
        # What clouds have refused, and is left out; None: no provider is one.
        self.refused: Any = None  # a `fleet.refused_features.RefusedFeatures`
        self.estimator = Estimator()
        self.served = 0
        self.totals = Totals()
        self.active: set[Any] = set()  # exchanges and other answers under way
        self.config: RuntimeConfig  # in force; requests under way keep the one they began with

    def next_serial(self) -> int:
        """The number of a request in this worker."""
        self.served += 1
        return self.served

    def id_of(self, serial: int) -> str:
        """The id of a request, unique among workers and starts."""
        return f"{self.id_prefix}{serial:x}"
