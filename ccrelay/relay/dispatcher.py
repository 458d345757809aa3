"""Admits requests: authentication, paths, and who answers. Called by client connections."""

from typing import Any

from ccrelay._fast.downstream import ConnectionHandler, Downstream
from ccrelay._fast.http1 import FieldId
from ccrelay.errors import BadRequest, NotFound, RelayError, SlowClient, TooLarge
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.local_reply import LOCAL_PATHS, local_answer
from ccrelay.relay.models_api import asks_for_models
from ccrelay.relay.request_body import FAULTS, head_error, is_gzip
from ccrelay.types import RequestClass
from ccrelay.wire.errors import error_response
from ccrelay.wire.targets import shown_target

_CONTENT_ENCODING = int(FieldId.F_CONTENT_ENCODING)
_OTHER_V1 = int(RequestClass.OTHER_V1)
_NOT_ROUTED = -1

_ROUTED_PATHS: dict[bytes, int] = {
    b"/v1/messages": int(RequestClass.MESSAGES),
    b"/v1/messages/count_tokens": int(RequestClass.COUNT_TOKENS),
}


class Dispatcher(ConnectionHandler):
    """Admits the requests of one worker.

    Args:
        context: what the worker's exchanges share.
    """

    __slots__ = ("connections", "context", "draining")

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.connections: set[Downstream] = set()
        self.draining = False

    # ---- called by connections

    def on_request(self, down: Downstream) -> None:
        """A request head is complete, and with it what came of the body in the same read."""
        try:
            self._admit(down)
        except RelayError as error:
            exchange: Any = down.exchange
            if exchange is not None:
                exchange.fail(error)
            else:
                self.refuse(down, error)

    def on_refused(self, down: Downstream, fault: int) -> None:
        """A request head is not valid HTTP, or over a limit."""
        self.refuse(down, head_error(fault))

    def on_slow(self, down: Downstream) -> None:
        """A request head did not arrive in time."""
        self.refuse(down, SlowClient("The request head did not arrive in time."))

    def on_gone(self, down: Downstream) -> None:
        """A client connection is closed."""
        self.connections.discard(down)

    def refuse(self, down: Downstream, error: RelayError) -> None:
        """Answer with an error without an exchange."""
        context, head = self.context, down.head
        keep_alive = head is not None and down.keep_alive and down.body_complete()
        body_wanted = head is None or head.method != b"HEAD"
        request_id = context.id_of(context.next_serial())
        asked: dict[str, object] = {}
        if head is not None:
            asked["method"] = head.method.decode("ascii", "backslashreplace")
            asked["path"] = shown_target(head.path, head.query)
        context.log.event(
            "info",
            "request_rejected",
            id=request_id,
            **asked,
            status=error.status,
            reason=error.message,
        )
        data = error_response(error, request_id, keep_alive=keep_alive, body_wanted=body_wanted)
        down.answer(data, keep_alive)

    # ---- admission

    def _admit(self, down: Downstream) -> None:
        head = down.head
        if self.draining:
            down.keep_alive = False
        kind = _NOT_ROUTED
        if head.method == b"POST":
            kind = _ROUTED_PATHS.get(head.path, _NOT_ROUTED)
        if kind == _NOT_ROUTED:
            self._admit_other(down, head.path)
            return
        exchange = self._open(down, kind, self._authenticate(down))
        if head.value(_CONTENT_ENCODING) is None:
            exchange.start()
        elif is_gzip(head):
            exchange.start(True)
        else:
            raise BadRequest("Unsupported content-encoding: send gzip or no compression.")

    def _authenticate(self, down: Downstream) -> ClientAuth:
        """Check the request's credentials; a connection remembers the answer for equal headers."""
        auth: ClientAuth | None = down.recall()
        if auth is None:
            auth = down.memo = self.context.config.authenticator.admit(down.head)
        return auth

    def _open(self, down: Downstream, kind: int, auth: ClientAuth) -> Exchange:
        context = self.context
        limit = context.config.body_bytes_max
        exchange = Exchange(context, down, kind, auth)
        down.exchange = exchange
        context.active.add(exchange)
        length = down.head.content_length
        if length > limit:
            raise TooLarge(
                f"The request body has {length} bytes; server.limits.body_bytes_max is {limit}.",
                status=413,
            )
        fault = down.body_fault()
        if fault:
            raise FAULTS[fault]()
        return exchange

    def _admit_other(self, down: Downstream, path: bytes) -> None:
        head, config = down.head, self.context.config
        method = head.method
        if path in LOCAL_PATHS and method in (b"GET", b"HEAD"):
            config.authenticator.check_host(head)
            keep_alive = down.keep_alive and down.body_complete()
            _, data = local_answer(
                path,
                config.providers,
                self.context.reactor.now,
                keep_alive=keep_alive,
                body_wanted=method == b"GET",
            )
            down.answer(data, keep_alive)
            return
        auth = self._authenticate(down)
        if path in _ROUTED_PATHS:
            raise RelayError(f"Use POST for {path.decode('ascii')}.", status=405)
        if asks_for_models(method, path):
            assert config.models_api is not None
            config.models_api.answer(down, auth)
            return
        if not path.startswith(b"/v1/"):
            raise NotFound("There is nothing at this path. The relay serves /v1/messages.")
        provider = config.routes.anthropic()
        if provider is None:
            raise NotFound(
                "No provider of type anthropic is configured, and only those serve this path."
            )
        exchange = self._open(down, _OTHER_V1, auth)
        exchange.send_to(self._any_target(provider))

    def _any_target(self, provider: ProviderState) -> Target:
        """For a request that no limit counts: a key that works, else any."""
        provider.key_pool.refresh(self.context.reactor.now, 0, 0)
        return provider.targets[max(provider.pick(self.context.rng), 0)]
