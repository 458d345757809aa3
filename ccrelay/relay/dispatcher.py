"""Admits requests: authentication, paths, and who answers. Called by client connections."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ccrelay._fast.downstream import ConnectionHandler, Downstream
from ccrelay._fast.http1 import FieldId, Head
from ccrelay.errors import BadRequest, RelayError, SlowClient, TooLarge, WrongToken
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.relay.api_endpoints import (
    CLOUD_PREFIXES,
    DIRECT,
    LOCAL,
    LOCAL_PATHS,
    MODELS,
    ROUTED,
    match,
)
from ccrelay.relay.client_auth import ClientAuth, client_of
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.local_reply import local_answer
from ccrelay.relay.peer import peer_address
from ccrelay.relay.refusal_log import RefusalLog
from ccrelay.relay.request_body import FAULTS, head_error, is_gzip, no_memory
from ccrelay.relay.token_throttle import TokenThrottle
from ccrelay.types import RequestClass
from ccrelay.upstream.exhaustion import next_step
from ccrelay.wire.errors import error_response
from ccrelay.wire.targets import HIDDEN, shown_target

if TYPE_CHECKING:  # what only cloud clients need is imported when the first of them comes
    from ccrelay.relay.cloud_paths import CloudRequest

_CONTENT_ENCODING = int(FieldId.F_CONTENT_ENCODING)


class Dispatcher(ConnectionHandler):
    """Admits the requests of one worker.

    Args:
        context: what the worker's exchanges share.
    """

    __slots__ = ("connections", "context", "draining", "refusal_log", "token_throttle")

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.connections: set[Downstream] = set()
        self.draining = False
        self.refusal_log = RefusalLog(context.reactor, context.log)
        self.token_throttle = TokenThrottle(context.reactor)

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
        """A request head is not valid HTTP, over a limit, or (fault < 0) cannot be kept."""
        self.refuse(down, head_error(fault) if fault >= 0 else no_memory())

    def on_slow(self, down: Downstream) -> None:
        """A request head did not arrive in time."""
        self.refuse(down, SlowClient("The request head did not arrive in time."))

    def on_gone(self, down: Downstream) -> None:
        """A client connection is closed."""
        self.connections.discard(down)

    def on_exhausted(self, error: int) -> None:
        """Nothing can be accepted: out of descriptors or memory. `error`: the errno."""
        self.context.notices.event(
            "error",
            "resources_exhausted",
            what="accept",
            reason=os.strerror(error),
            hint=next_step(error),
        )

    def on_turned_away(self) -> None:
        """A connection over `unadmitted_per_address_max` was closed."""
        self.context.notices.event(
            "warning",
            "connections_refused",
            hint="One address has server.limits.unadmitted_per_address_max connections without an "
            "admitted request.",
        )

    def refuse(self, down: Downstream, error: RelayError) -> None:
        """Answer with an error without an exchange."""
        context, head = self.context, down.head
        keep_alive = head is not None and down.keep_alive and down.body_complete()
        request_id = context.id_of(context.next_serial())
        asked: dict[str, object] = {}
        if head is not None:
            asked["method"] = head.method.decode("ascii", "backslashreplace")
            guard = context.config.token_guard
            is_secret = guard is not None and guard.hold_back(head)
            asked["path"] = HIDDEN if is_secret else shown_target(head.path, head.query)
        peer = peer_address(down.fd)
        self.refusal_log.add(error.status, peer, error.message, id=request_id, **asked)
        data = self._rendered(error, request_id, head, keep_alive)
        if isinstance(error, WrongToken):
            self.token_throttle.answer(down, peer, data, keep_alive)
        else:
            down.answer(data, keep_alive)

    def _rendered(
        self, error: RelayError, request_id: str, head: Head | None, keep_alive: bool
    ) -> bytes:
        """An error as the client of this head reads it."""
        body_wanted = head is None or head.method != b"HEAD"
        if head is not None and head.path.startswith(CLOUD_PREFIXES):
            from ccrelay.relay import cloud_answers, cloud_paths

            if cloud_paths.is_aws(head.path):
                answers = cloud_answers.AwsAnswers(request_id, RequestClass.OTHER_V1, False)
                return answers.error_response(error, keep_alive=keep_alive, body_wanted=body_wanted)
        return error_response(error, request_id, keep_alive=keep_alive, body_wanted=body_wanted)

    # ---- admission

    def _admit(self, down: Downstream) -> None:
        head = down.head
        if self.draining:
            down.keep_alive = False
        direct = DIRECT.get(head.method_and_target())
        if direct is None:
            self._admit_other(down)
            return
        kind, path = direct
        self._route(down, kind, path, self._authenticate(down))

    def _authenticate(self, down: Downstream) -> ClientAuth:
        """Check the request's credentials; a connection remembers the answer for equal headers.

        Other fields with a relay token are held back, here because it is done for every request
        that may go on.
        """
        config = self.context.config
        auth: ClientAuth | None = down.recall()
        if auth is None:
            head = down.head
            auth = config.authenticator.admit(head)
            down.charge_to(b"token:%d" % auth.client if auth.client else None)
            auth = down.memo = client_of(auth, down.client, head)
        if config.token_guard is not None and config.token_guard.hold_back(down.head):
            raise BadRequest("The request target contains a relay token. Send it in a header.")
        return auth

    def _open(
        self,
        down: Downstream,
        kind: int,
        path: bytes,
        auth: ClientAuth,
        cloud: "CloudRequest | None" = None,
    ) -> Exchange:
        """The exchange of a request. `cloud`: what it is, if its body is in a cloud's form.

        Raises:
            RelayError: its body is over a limit, or is not what it has to be.
        """
        context = self.context
        limit = context.config.body_bytes_max
        down.admit()
        exchange = Exchange(context, down, kind, auth, path)
        down.exchange = exchange
        context.active.add(exchange)
        if cloud is not None:
            self._note_cloud(exchange, cloud)
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

    def _route(
        self,
        down: Downstream,
        kind: int,
        path: bytes,
        auth: ClientAuth,
        respell: Callable[[bytes], bytes | None] | None = None,
    ) -> None:
        """Begin the exchange of a request in Anthropic's form. `respell`: of `ClientRequest`."""
        head = down.head
        exchange = self._open(down, kind, path, auth)
        exchange.client.respell = respell
        if head.value(_CONTENT_ENCODING) is None:
            exchange.start()
        elif is_gzip(head):
            exchange.start(True)
        else:
            raise BadRequest("Unsupported content-encoding: send gzip or no compression.")

    def _admit_other(self, down: Downstream) -> None:
        head, config = down.head, self.context.config
        if head.path in LOCAL_PATHS and head.method in (b"GET", b"HEAD"):
            self._answer_local(down, head.path, head.method == b"GET")
            return
        auth = self._authenticate(down)
        if head.path.startswith(CLOUD_PREFIXES):
            self._admit_cloud(down, auth)
            return
        endpoint, path = match(head.method, head.path, head.query, config.passthrough.__contains__)
        if endpoint.group == ROUTED:
            self._route(down, int(endpoint.kind), path, auth)
        elif endpoint.group == MODELS:
            assert config.models_api is not None
            down.admit()
            config.models_api.answer(down, auth)
        else:
            assert endpoint.group != LOCAL
            exchange = self._open(down, int(endpoint.kind), path, auth)
            exchange.send_to(self._any_target(config.passthrough[endpoint.group]))

    def _admit_cloud(self, down: Downstream, auth: ClientAuth) -> None:
        """Admit a request in the form of a cloud.

        Its credentials but a relay's token are its cloud's: no provider gets them.
        """
        from ccrelay.relay import cloud_paths

        head, config = down.head, self.context.config
        asked = cloud_paths.find(head.method, head.path)
        auth = ClientAuth(True, True, False, auth.client)
        if asked.form == cloud_paths.LISTING:
            from ccrelay.relay.cloud_listings import aws_list

            assert config.models_api is not None
            down.admit()
            config.models_api.answer(down, auth, aws_list)
        elif asked.form == cloud_paths.MESSAGES:
            self._admit_prefixed(down, asked.path, auth)
        elif head.value(_CONTENT_ENCODING) is not None:
            raise BadRequest("Unsupported content-encoding: send no compression.")
        else:
            self._open(down, int(asked.kind), b"/v1/messages", auth, asked).start()

    def _admit_prefixed(self, down: Downstream, path: bytes, auth: ClientAuth) -> None:
        """Admit a request in Anthropic's form that came below a cloud's prefix."""
        from ccrelay.relay.cloud_ingress import first_party_head, respelt

        head, config = down.head, self.context.config
        down.head = first_party_head(head, path + b"?" + head.query if head.query else path)
        if config.token_guard is not None:
            config.token_guard.hold_back(down.head)
        endpoint, sent = match(head.method, path, head.query, config.passthrough.__contains__)
        if endpoint.group == MODELS:
            assert config.models_api is not None
            down.admit()
            config.models_api.answer(down, auth)
        else:
            self._route(down, int(endpoint.kind), sent, auth, respelt)

    def _note_cloud(self, exchange: Exchange, cloud: "CloudRequest") -> None:
        """Say how a request in a cloud's form becomes one of Anthropic's, and reads answers."""
        from ccrelay.relay import cloud_answers, cloud_ingress, cloud_paths

        answers = None
        if cloud.form == cloud_paths.BEDROCK:
            answers = cloud_answers.AwsAnswers(exchange.id, cloud.kind, cloud.stream)
        exchange.client.come_from(cloud_ingress.CloudBody(cloud), answers)

    def _answer_local(self, down: Downstream, path: bytes, body_wanted: bool) -> None:
        config = self.context.config
        config.authenticator.check_host(down.head)
        wrong = known = False
        try:
            known = config.authenticator.is_known(down.head)
        except WrongToken:
            wrong = True
        keep_alive = down.keep_alive and down.body_complete()
        data = local_answer(
            path,
            config.providers,
            self.context.reactor.now,
            is_known=known,
            keep_alive=keep_alive,
            body_wanted=body_wanted,
        )
        if wrong:  # the answer tells that the token is wrong: here it costs the same as elsewhere
            self.token_throttle.answer(down, peer_address(down.fd), data, keep_alive)
        else:
            down.answer(data, keep_alive)

    def _any_target(self, provider: ProviderState) -> Target:
        """For a request that no limit counts: a key that works, else any."""
        provider.key_pool.refresh(self.context.reactor.now, 0, 0)
        return provider.targets[max(provider.pick(self.context.rng), 0)]
