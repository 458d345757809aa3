"""GET /v1/models and /v1/models/{id}: answered from cache, or after model discovery."""

import asyncio
from collections.abc import Callable, MutableSet
from typing import Any
from urllib.parse import unquote

from ccrelay._fast.downstream import Downstream
from ccrelay._fast.handlers import RequestHandler
from ccrelay.errors import NoTarget, RelayError, SlowClient
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.local_reply import models_body
from ccrelay.relay.model_discovery import ModelDiscovery
from ccrelay.relay.request_body import FAULTS
from ccrelay.upstream.fetch import Fields
from ccrelay.upstream.tasks import TaskSet
from ccrelay.wire.errors import json_response
from ccrelay.wire.models import ModelEntry, find_model

MODELS = b"/v1/models"

BodyOf = Callable[[list[ModelEntry], bytes, bytes], bytes]
"""Makes the body of a list: of the models, the path, the query. Raises NotFound, BadRequest."""
Refuse = Callable[[Downstream, RelayError], None]
"""Sends one of the relay's own errors."""


class ModelsApi:
    """Answers requests for models.

    Args:
        discovery: the known models.
        tasks: runs requests that wait for discovery.
        active: the worker's exchanges in flight; waiting requests are added.
        refuse: sends errors.
    """

    def __init__(
        self,
        discovery: ModelDiscovery,
        *,
        tasks: TaskSet,
        active: MutableSet[Any],
        refuse: Refuse,
    ) -> None:
        self.discovery = discovery
        self.tasks = tasks
        self.active = active
        self.refuse = refuse

    def answer(self, down: Downstream, passed: ClientAuth, body_of: BodyOf = models_body) -> None:
        """Answer a GET or HEAD of /v1/models or of one model, now or after discovery.

        Args:
            down: the client's connection.
            passed: what authentication found.
            body_of: makes the body, for lists in other forms.

        Raises:
            NotFound: unknown model.
        """
        head = down.head
        discovery = self.discovery
        client = discovery.credential_of(head, passed)
        entries = discovery.at_once(client)
        if entries is None and _is_configured(discovery.configured, head.path):
            entries = discovery.configured
        if entries is not None:
            send(down, entries, body_of)
            return
        listing = ModelsRequest(self, down, body_of)
        down.exchange = listing
        self.active.add(listing)
        listing.begin(client)


class ModelsRequest(RequestHandler):
    """A request that waits for model discovery; acts as an exchange on its connection."""

    __slots__ = ("_body_of", "_desk", "_down", "_task", "settled")

    def __init__(self, desk: ModelsApi, down: Downstream, body_of: BodyOf = models_body) -> None:
        self.settled = False
        self._body_of = body_of
        self._desk = desk
        self._down = down
        self._task: asyncio.Task[None] | None = None

    def begin(self, client: Fields) -> None:
        """Start discovery in the background, then answer."""
        self._task = self._desk.tasks.spawn(self._run(client), "models")

    async def _run(self, client: Fields) -> None:
        desk, down = self._desk, self._down
        try:
            entries = await desk.discovery.gather(client)
            if self._settle():
                send(down, entries, self._body_of)
        except RelayError as error:
            desk.refuse(down, error)
        finally:
            # After an unexpected exception the client still gets an answer.
            if self._settle():
                desk.refuse(down, RelayError("Internal error while listing models.", status=500))

    # ---- called by the connection

    def on_client_left(self) -> None:
        """The client disconnected: cancel."""
        if self._settle() and self._task is not None:
            self._task.cancel()

    def on_wait(self) -> None:
        """No-op: discovery has its own time limit."""

    def on_bad_body(self, fault: int) -> None:
        """The GET has a body, and it is invalid."""
        self.fail(FAULTS[fault]())

    def on_slow_body(self) -> None:
        """The GET has a body, and it stopped arriving."""
        self.fail(SlowClient("The request body stopped arriving. Check the network to the relay."))

    # ---- called by the relay

    def shut(self) -> None:
        """The drain timeout is over."""
        self.fail(NoTarget("The relay is shutting down.", retry_after_s=1))

    def fail(self, error: RelayError) -> None:
        """End with one of the relay's own errors."""
        if self._settle():
            if self._task is not None:
                self._task.cancel()
            self._desk.refuse(self._down, error)

    def _settle(self) -> bool:
        """True for the first caller, which ends the request."""
        is_first = not self.settled
        self.settled = True
        self._desk.active.discard(self)
        return is_first


def send(down: Downstream, entries: list[ModelEntry], body_of: BodyOf = models_body) -> None:
    """Send the page of models or the model that the request is for.

    Raises:
        NotFound: unknown model.
    """
    head = down.head
    body = body_of(entries, head.path, head.query)
    keep_alive = down.keep_alive and down.body_complete()
    down.answer(json_response(200, body, (), keep_alive, head.method == b"GET"), keep_alive)


def _is_configured(entries: list[ModelEntry], path: bytes) -> bool:
    """Whether the request is for one model, and it is configured."""
    name = unquote(path.removeprefix(MODELS + b"/").decode("latin-1"))
    return bool(name) and find_model(entries, name) is not None
