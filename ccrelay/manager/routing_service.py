"""The service Routing: where a request would go."""

import asyncio
import random
from collections.abc import Mapping
from typing import NamedTuple, get_args

import grpc

from ccrelay.config.model import Config, RequestKind
from ccrelay.config.problems import quoted
from ccrelay.fleet.layout import Layout
from ccrelay.manager.answers import sentence
from ccrelay.manager.errors import Refused, invalid, unary
from ccrelay.manager.explain import LiveRouting
from ccrelay.manager.memory_copy import private_copy
from ccrelay.manager.rules import rules_of
from ccrelay.manager.state import RelayState
from ccrelay.manager.watch import PAUSE
from ccrelay.routing.explain import TOKENS, Question
from ccrelay.store.ledger import Ledger
from ccrelay.store.rules import RuleCount
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.v1 import routing_pb2 as v1, routing_pb2_grpc
from ccrelay.wire.session import conversation_key

NAME_CHARACTERS_MAX = 256
HEADERS_MAX = 64
VALUE_CHARACTERS_MAX = 4096
TOKENS_MAX = 100_000_000
_CLASSES: tuple[RequestKind, ...] = get_args(RequestKind)


class _Counted(NamedTuple):
    """Matches since a time, good until an instant of the monotonic clock."""

    since_ms: int
    until: float
    counts: Mapping[str, RuleCount]


class RoutingService(routing_pb2_grpc.RoutingServicer):
    """Implements ccrelay.v1.Routing.

    Args:
        state: of the relay.
        memory_fd: of the shared memory, which is copied for each question.
        rng: chance.
        ledger: for how often rules matched; None: nothing is kept.
    """

    def __init__(
        self, state: RelayState, memory_fd: int, rng: random.Random, ledger: Ledger | None = None
    ) -> None:
        self._ledger = ledger
        self._counted: _Counted | None = None
        self._state = state
        self._memory_fd = memory_fd
        self._rng = rng
        self._turns = asyncio.Semaphore(1)  # one copy at a time

    @unary
    async def Explain(self, request: v1.ExplainRequest) -> v1.ExplainResponse:  # noqa: N802
        """See the schema."""
        question = question_of(request)
        session = request.session
        if session and conversation_key(session.encode("latin-1", "replace"), None) is None:
            raise invalid(
                f"{quoted(session)} is no session: use the id as Claude Code sends it, "
                "letters, digits and -._: only."
            )
        async with self._turns:
            # Both together: a reload may come while the thread works.
            config, layout = self._state.config, self._state.layout
            return await asyncio.to_thread(self._explain, config, layout, question, session)

    @unary
    async def ListRules(self, request: v1.ListRulesRequest) -> v1.ListRulesResponse:  # noqa: N802
        """See the schema."""
        if request.since_ms < 0:
            raise invalid("Times are milliseconds since 1970 and not negative; 0: no bound.")
        return rules_of(self._state.config, await self._counts(request.since_ms))

    async def _counts(self, since_ms: int) -> Mapping[str, RuleCount]:
        """Matches by rule; those of a long time are counted the more rarely the longer it takes."""
        if self._ledger is None:
            return {}
        clock = self._state.clock
        counted = self._counted
        if counted is None or counted.since_ms != since_ms or clock.now() >= counted.until:
            began = clock.now()
            try:
                counts = await self._ledger.rule_counts(since_ms)
            except LedgerTrouble as error:
                raise Refused(grpc.StatusCode.UNAVAILABLE, sentence(str(error))) from None
            now = clock.now()
            counted = self._counted = _Counted(since_ms, now + PAUSE * (now - began), counts)
        return counted.counts

    def _explain(
        self, config: Config, layout: Layout, question: Question, session: str
    ) -> v1.ExplainResponse:
        memory = private_copy(self._memory_fd, self._state.memory)
        routing = LiveRouting(memory, config, layout, self._state.clock, self._rng)
        return routing.answer(question, session)


def question_of(request: v1.ExplainRequest) -> Question:
    """The question, checked.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    if not request.model or len(request.model) > NAME_CHARACTERS_MAX:
        raise invalid(f"The model is missing, or longer than {NAME_CHARACTERS_MAX} characters.")
    if not request.model.isprintable():
        raise invalid("The model's name has characters that are not printable.")
    kind = next((one for one in _CLASSES if one == request.traffic_class), None)
    if request.traffic_class and kind is None:
        raise invalid(
            f"{quoted(request.traffic_class)} is no class: use one of {', '.join(_CLASSES)}."
        )
    if request.tokens > TOKENS_MAX:
        raise invalid(f"The tokens are more than {TOKENS_MAX:,}.")
    headers = dict(request.headers)
    if len(headers) > HEADERS_MAX or any(
        len(name) > NAME_CHARACTERS_MAX or len(value) > VALUE_CHARACTERS_MAX
        for name, value in headers.items()
    ):
        raise invalid(
            f"At most {HEADERS_MAX} headers, with values of {VALUE_CHARACTERS_MAX} characters."
        )
    return Question(
        model=request.model,
        kind=kind,
        tokens=request.tokens or TOKENS,
        images=request.images,
        thinking=request.thinking if request.HasField("thinking") else None,
        tools=request.tools if request.HasField("tools") else None,
        headers=headers,
    )
