"""An exchange on its way to a target: model, route, rules, needs, selection, the pending queue.

The second of seven layers, by phase: those above take over when a target is acquired.
"""

from collections.abc import Set
from functools import partial
from typing import Any

from ccrelay.errors import RelayError
from ccrelay.relay import request_body, request_profile, retry
from ccrelay.relay.body_worker import Job
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.exchange_base import ExchangeBase
from ccrelay.relay.exchange_state import ExchangeState, Resume
from ccrelay.relay.local_reply import not_served
from ccrelay.relay.unpacking import STEP_BYTES, Unpacking
from ccrelay.routing.selection import Selection, Unavailable

_ROUTING = int(ExchangeState.ROUTING)
_AWAITING_BODY = int(ExchangeState.AWAITING_BODY)
_PREPARING = int(ExchangeState.PREPARING)
_QUEUED = int(ExchangeState.QUEUED)
_DONE = int(ExchangeState.DONE)
# A look at a waiting client that is due at once.
LOOK_S = 0.05


class RoutedExchange(ExchangeBase):
    """An exchange that finds its target."""

    __slots__ = ()

    # ---- for the layer above

    def _start_attempt(self, selection: Selection, strip_thinking: bool | None) -> None:
        """Send to a target that was acquired."""
        raise NotImplementedError

    def _with_whole_body(self) -> None:
        """Go on with an attempt that needed the whole body."""
        raise NotImplementedError

    def _send(self) -> None:
        """Go on with an attempt that needed the body's length."""
        raise NotImplementedError

    # ---- routing

    def start(self, is_packed: bool = False) -> None:
        """Find out who serves the request, and go on. `is_packed`: the body is gzip.

        Raises:
            RelayError: the request cannot be served.
        """
        if self.client.cloud is not None:
            self._translate()
        elif is_packed:
            self._unpack()
        else:
            self._find_route()

    def _find_route(self) -> None:
        down = self.client.down
        raw = down.model()
        if raw is None:
            if down.body_complete():
                raise request_body.missing_model()
            self.resume = int(Resume.FIND_ROUTE)
            self._enter(_AWAITING_BODY)
            down.await_model()
            return
        self._route_model(raw)

    def _unpack(self) -> None:
        """A compressed body is read whole and unpacked before anything else.

        What fits into one step is unpacked at once. A longer one is left to the worker, which
        unpacks it from the beginning.
        """
        down, context = self.client.down, self.context
        if not down.body_complete():
            self._await_body(Resume.UNPACK)
            return
        if down.body_seen() <= STEP_BYTES:
            limit = self.config.body_bytes_max
            unpacking = Unpacking(down.body_bytes(), limit, self.client.memory())
            if unpacking.step():
                self._take_unpacked(unpacking)
                return
            unpacking.drop()
        self._enter(_PREPARING)
        context.worker.run(
            self.client.auth.client, self._begin_unpacking, self._unpacked, self._queue_timeout_s()
        )

    def _begin_unpacking(self) -> Job | None:
        """It is its turn; None: the client has left."""
        if self.state == _DONE:
            return None
        limit = self.config.body_bytes_max
        return Unpacking(self.client.down.body_bytes(), limit, self.client.memory()).run

    def _unpacked(self, unpacking: Unpacking | None, error: RelayError | None) -> None:
        """The worker has unpacked the body."""
        if self.state == _DONE:
            if unpacking is not None:
                unpacking.drop()
            return
        self.context.reactor.clock()
        self._enter(_ROUTING)
        try:
            if unpacking is None:
                assert error is not None
                raise error
            self._take_unpacked(unpacking)
        except RelayError as failure:
            self.fail(failure)

    def _take_unpacked(self, unpacking: Unpacking) -> None:
        self.client.set_body(unpacking.body, unpacking.elements, unpacking.streams)
        self.client.held += unpacking.held
        self._route_model(unpacking.model)

    def _translate(self) -> None:
        """A body in a cloud's form is read whole and put into Anthropic's before anything else."""
        client = self.client
        if not client.is_complete():
            self._await_body(Resume.TRANSLATE)
        elif not client.is_readable():
            raise request_body.no_memory()
        elif request_body.is_large(client):
            self._enter(_PREPARING)
            self.context.worker.run(
                client.auth.client,
                self._begin_translating,
                self._translated,
                self._queue_timeout_s(),
            )
        else:
            self._take_translated(_translated_body(client))

    def _begin_translating(self) -> Job | None:
        """It is its turn; None: the client has left."""
        if self.state == _DONE:
            return None
        return partial(_translated_body, self.client)

    def _translated(self, result: Any, error: RelayError | None) -> None:
        """The worker has put the body into Anthropic's form."""
        if self.state == _DONE:
            return
        self.context.reactor.clock()
        self._enter(_ROUTING)
        try:
            if error is not None:
                raise error
            self._take_translated(result)
        except RelayError as failure:
            self.fail(failure)

    def _take_translated(self, found: Any) -> None:
        client = self.client
        if not client.charge(len(found.body)):
            raise request_body.no_memory()
        client.set_body(found.body, found.elements, found.streams)
        client.down.head, client.path = client.cloud.first_party(client.down.head, found)
        if self.config.token_guard is not None:
            self.config.token_guard.hold_back(client.down.head)
        self._route_model(found.model)

    def _queue_timeout_s(self) -> float:
        """How long its body may wait to be worked on."""
        timeout_s: float = self.config.config.routing.queue_timeout_s
        return timeout_s

    def _route_model(self, raw: bytes) -> None:
        """Find the route of the model, given as raw JSON."""
        config, client = self.config, self.client
        if client.respell is not None and (name := client.respell(raw)) is not None:
            client.respelt = raw = name
        route = config.routes.remembered.get(raw)
        if route is None:
            route = config.routes.of(raw, request_body.model_name(raw))
        client.model = route.model
        self.route = route
        if config.rules is not None:
            self._match_rules()
        else:
            self._profile()

    def _match_rules(self) -> None:
        assert self.route is not None
        if request_profile.rules_need_body(self.config, self.client):
            self._await_body(Resume.MATCH_RULES)
            return
        rule = request_profile.match_rule(self.context, self.config, self.client, self.route.model)
        if rule is not None:
            self.route = self.config.routes.under(rule, self.route.model)
        self._profile()

    def _profile(self) -> None:
        """The route is known: find out what the request needs, then select a target."""
        route = self.route
        assert route is not None
        if not route.candidates:
            raise not_served(route.model, self.config.routes.served())
        request = request_profile.build(
            self.context, self.config, self.client, route, self.outcome.queued_s
        )
        if request is None:
            self._await_body(Resume.PROFILE)
            return
        self.request = request
        self.context.budget.request(request.now)
        self._select()

    def reroute(self) -> None:
        """The configuration has changed while the request was queued: route it again."""
        self.config = self.context.config
        self.retry_state = None
        self._enter(_ROUTING)
        raw = self.client.down.model()
        if raw is None:
            assert self.route is not None
            raw = request_body.model_json(self.route.model)
        try:
            self._route_model(raw)
        except RelayError as error:
            self.fail(error)

    def _choose(self, stays: bool = True) -> Selection | Unavailable:
        """Acquire a target, or learn how long to wait for one."""
        request, route = self.request, self.route
        assert request is not None
        assert route is not None
        request.now = self.context.reactor.now
        choice: Selection | Unavailable
        if self.context.queued:
            choice = self.context.queue.select(self, stays=stays)
        else:
            choice = self.config.router.choose(
                route, request, self.retry_state, self.context.rng, stays
            )
        if (
            request.rough
            and isinstance(choice, Unavailable)
            and request_profile.estimate_closely(self.context, self.client, route, request)
        ):
            return self._choose(stays)
        return choice

    def _select(self) -> None:
        """Go on with a target, or queue for one.

        A body that comes slowly holds no target while it comes.

        Raises:
            RelayError: no target can serve this, and waiting would not help.
        """
        if not self.client.flows():
            self.resume = int(Resume.SELECT)
            self._enter(_AWAITING_BODY)
            self.client.down.await_flow()
            return
        choice = self._choose()
        if isinstance(choice, Selection):
            self._start_attempt(choice, None)
        else:
            self._queue(choice)

    # ---- waiting

    def _await_body(self, resume: int) -> None:
        """Go on with `resume` when the request body is whole.

        Raises:
            NoTarget: there is no memory to keep it.
        """
        if not self.client.down.can_replay():
            raise request_body.no_memory()
        self.resume = resume
        self._enter(_AWAITING_BODY)
        self.client.down.await_body()

    def on_model(self) -> None:
        """`model` is known, or the body is complete."""
        self._go_on()

    def on_body(self) -> None:
        """The body that was awaited is complete, or comes fast enough."""
        self._go_on()

    def _go_on(self) -> None:
        resume = self.resume
        self.resume = 0
        self._enter(_ROUTING)
        try:
            match resume:
                case Resume.FIND_ROUTE:
                    self._find_route()
                case Resume.UNPACK:
                    self._unpack()
                case Resume.TRANSLATE:
                    self._translate()
                case Resume.MATCH_RULES:
                    self._match_rules()
                case Resume.PROFILE:
                    self._profile()
                case Resume.SELECT:
                    request = self.request
                    assert request is not None
                    request.waits_since = self.context.reactor.now - self.outcome.queued_s
                    self._select()
                case Resume.WHOLE_BODY:
                    self._with_whole_body()
                case _:
                    self._send()
        except RelayError as error:
            self.fail(error)

    def _queue(self, unavailable: Unavailable) -> None:
        """Queue for a target, or fail at once where that would take too long.

        Raises:
            RelayError: it would.
        """
        if self.state == _DONE:
            return
        if self.state != _ROUTING:
            self._enter(_ROUTING)
        if self.attempt is not None:
            self.attempt.upstream = None  # it may serve another exchange by now
        request = self.request
        assert request is not None
        if request.rough and self.client.down.can_replay():
            # Its images were counted by their length, since the body is still arriving.
            self._await_body(Resume.SELECT)
            return
        found = self._settle_for(unavailable)
        if found is None:
            self._unavailable(unavailable)
        elif isinstance(found, Selection):
            self._start_attempt(found, None)
        else:
            self._enter(_QUEUED)
            timeout_s = self.config.config.routing.queue_timeout_s
            self.context.queue.join(self, found, request.waits_since + timeout_s)
            # Its stream may be due a head sooner than at the last look.
            down, routing = self.client.down, self.config.config.routing
            due_at = down.received_at + min(routing.ping_s, routing.early_head_s)
            down.wake_in(max(due_at - self.context.reactor.now, LOOK_S))

    def _settle_for(self, unavailable: Unavailable) -> Selection | Unavailable | None:
        """The wait if there is time and room for it; None: there is not."""
        request = self.request
        assert request is not None
        is_rough = request.rough and self.client.down.can_replay()
        if is_rough or retry.may_queue(self.context, self.config, request, unavailable):
            return unavailable
        # Neither the sticky target nor what was learned of limits is worth an error.
        other = self._choose(False)
        if isinstance(other, Selection) or retry.may_queue(
            self.context, self.config, request, other
        ):
            return other
        return None

    def _unavailable(self, unavailable: Unavailable) -> None:
        """No target can take the request in time: send the best error so far, or our own."""
        if self.best_error is not None:
            self._reply(self.best_error)
            return
        raise retry.unavailable_error(
            self.context, self.config, self.route, self.request, unavailable
        )

    def queue_position(self) -> tuple[int, int]:
        """Traffic class and conversation, for the pending queue."""
        assert self.route is not None
        assert self.request is not None
        return request_profile.queue_position(self.client, self.request)

    def route_to(self, *, stays: bool, held: Set[int]) -> Selection | Unavailable:
        """Ask the router for a target outside of `held`, for the pending queue."""
        assert self.route is not None
        assert self.request is not None
        return self.config.router.choose(
            self.route, self.request, self.retry_state, self.context.rng, stays, held
        )

    def on_selected(self, selection: Selection) -> None:
        """The pending queue acquired a target."""
        self._enter(_ROUTING)
        try:
            self._start_attempt(selection, None)
        except RelayError as error:
            self.fail(error)

    def on_queue_timeout(self, unavailable: Unavailable) -> None:
        """The pending queue found none in time."""
        try:
            self._unavailable(unavailable)
        except RelayError as error:
            self.fail(error)

    def add_queue_time(self, seconds: float) -> None:
        """The pending queue has held it for so long."""
        self.outcome.queued_s += seconds


def _translated_body(client: ClientRequest) -> Any:
    """The body of a cloud client in Anthropic's form, a `cloud_ingress.Translated`."""
    return client.cloud.translate(client.copied())
