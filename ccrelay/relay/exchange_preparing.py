"""An exchange whose body has to be worked on: rewritten, stripped of thinking, or counted.

The third of seven layers, by phase: `exchange_sending` sends what comes out. Small bodies are
worked on at once, large ones by the worker's thread (`body_worker`); meanwhile the exchange is
PREPARING. It may end then like in any other state: what the thread makes for it is dropped.
"""

from functools import partial
from typing import Any

from ccrelay.errors import RelayError
from ccrelay.fleet.provider_state import Target
from ccrelay.relay import request_body, retry
from ccrelay.relay.body_worker import Job
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.exchange_routing import RoutedExchange
from ccrelay.relay.exchange_state import ExchangeState
from ccrelay.relay.local_reply import Rejection
from ccrelay.types import Ending
from ccrelay.wire.bodies import ELEMENTS_MAX
from ccrelay.wire.errors import json_response
from ccrelay.wire.tokens import ESTIMATE_HEADER, answer, by_length, estimate

_ROUTING = int(ExchangeState.ROUTING)
_PREPARING = int(ExchangeState.PREPARING)
_DONE = int(ExchangeState.DONE)


class PreparingExchange(RoutedExchange):
    """An exchange that makes the body it sends."""

    __slots__ = ()

    # ---- for the layer above

    def _connect(self) -> None:
        """The body is ready: get a connection to the target, and send."""
        raise NotImplementedError

    # ---- the body that is sent

    def _rewrite(self) -> None:
        """Make the body to send from the client's, then connect.

        Raises:
            RelayError: it cannot be made.
        """
        client, attempt = self.client, self.attempt
        assert attempt is not None
        request_body.check_elements(client)
        if request_body.is_large(client):
            self._enter(_PREPARING)
            self.context.worker.run(
                client.auth.client, self._begin_rewriting, self._rewritten, self._queue_timeout_s()
            )
        else:
            attempt.body = request_body.rewriting(client, attempt)()
            self._connect()

    def _begin_rewriting(self) -> Job | None:
        """It is its turn; None: the client has left.

        Raises:
            NoTarget: there is no memory for a copy.
        """
        if self.state == _DONE:
            return None
        client, attempt = self.client, self.attempt
        assert attempt is not None
        # The copy that is worked on, and what is made of it.
        size = 2 * client.size()
        if not client.charge_copies(size):
            raise request_body.no_memory()
        if self.rejection is not None:
            return request_body.stripping(client, attempt, self.rejection.stripped)
        return request_body.rewriting(client, attempt)

    def _rewritten(self, result: Any, error: RelayError | None) -> None:
        """The worker has made the body to send."""
        if self.state == _DONE:
            return
        self.context.reactor.clock()
        self._enter(_ROUTING)
        attempt, rejection = self.attempt, self.rejection
        assert attempt is not None
        self.rejection = None
        try:
            if error is not None:
                raise error
            if rejection is None:
                attempt.body = result
            elif result is None:  # there is no thinking to be left out
                self._take_rejection(rejection)
                return
            else:
                attempt.strip_thinking, attempt.body = result
                self._log_stripped(attempt.target, attempt.strip_thinking is True)
            self._connect()
        except RelayError as failure:
            self.fail(failure)

    def _take_rejection(self, rejection: Rejection) -> None:
        """Nothing can be left out of a body whose signatures were rejected: reply with that."""
        attempt = self.attempt
        assert attempt is not None
        attempt.cancel(self.context.reactor.now)
        self.best_error = retry.better_of(self.best_error, rejection.reply)
        self._reply(self.best_error)

    def _log_stripped(self, target: Target, everything: bool) -> None:
        """Log that the request is sent once more without thinking blocks."""
        name = target.provider.name
        self.context.log.event(
            "info", "thinking_stripped", id=self.id, provider=name, all=everything
        )

    # ---- count_tokens

    def _answer_estimate(self) -> None:
        """Answer count_tokens with an estimate of our own.

        Raises:
            NoTarget: too many bodies are worked on.
        """
        client = self.client
        if client.elements() > ELEMENTS_MAX:
            self._answer_tokens(by_length(client.size()))
        elif request_body.is_large(client):
            self._enter(_PREPARING)
            self.context.worker.run(
                client.auth.client, self._begin_estimate, self._estimated, self._queue_timeout_s()
            )
        else:
            self._answer_tokens(estimate(client.whole()))

    def _begin_estimate(self) -> Job | None:
        """It is its turn; None: the client has left."""
        return None if self.state == _DONE else partial(_estimate, self.client)

    def _estimated(self, tokens: int | None, error: RelayError | None) -> None:
        """The worker has counted."""
        if self.state == _DONE:
            return
        self.context.reactor.clock()
        self._enter(_ROUTING)
        if tokens is None:
            assert error is not None
            self.fail(error)
        else:
            self._answer_tokens(tokens)

    def _answer_tokens(self, tokens: int) -> None:
        down = self.client.down
        self.outcome.status = 200
        extra = [ESTIMATE_HEADER, (b"request-id", self.id.encode())]
        if self.config.debug:
            extra += self._debug_fields()
        body = answer(tokens)
        if self.client.answers is not None:
            body = self.client.answers.count(body)
        data = json_response(200, body, extra, down.keep_alive)
        self._answer(data, Ending.ANSWERED, down.keep_alive)


def _estimate(client: ClientRequest) -> int:
    return estimate(client.copied())
