"""What HTTP/1.1 is answered with: calls of gRPC-web, and the routes."""

import asyncio
import time
import traceback

import h11

from ccrelay.control.authorise import Decision, Why
from ccrelay.control.bridge import WebCall, is_call
from ccrelay.control.calls import Calls
from ccrelay.control.connections import Connection
from ccrelay.control.health import Health
from ccrelay.control.http import BadRequest, Exchange, HttpRequest, HttpResponse, Routes
from ccrelay.control.page import Page
from ccrelay.control.page_files import HEADERS
from ccrelay.control.streams import Stream
from ccrelay.types import LogSink

ROUTE_S = 30.0
HEALTH_PATH = "/healthz"
_STATUS = {
    Why.USER: 403,
    Why.HOST: 403,
    Why.ORIGIN: 403,
    Why.NO_TOKEN: 401,
    Why.WRONG_TOKEN: 401,
    Why.NO_PAGE_KEY: 401,
    Why.SIGNED_OUT: 401,
    Why.READ_ONLY: 403,
    Why.UNKNOWN: 404,
}


class Web:
    """Serves connections that speak HTTP/1.1.

    Args:
        calls: what can be called.
        routes: handlers of GET by path; `/healthz` is there without.
        health: of the whole.
        log: gets exceptions of handlers.
        page: the web page; None: there is none.
    """

    def __init__(
        self, calls: Calls, routes: Routes, health: Health, log: LogSink, page: Page | None = None
    ) -> None:
        self._calls = calls
        self._health = health
        self._routes = {HEALTH_PATH: self._healthz, **routes}
        self._log = log
        self._page = page

    async def serve(self, stream: Stream, first: bytes, connection: Connection) -> None:
        """Answer requests until the connection ends. Raises OSError where it breaks."""
        exchange = Exchange(stream, first)
        try:
            while await exchange.next_request():
                connection.last_active = time.monotonic()
                await self._one(exchange, connection)
                connection.last_active = time.monotonic()
        except BadRequest as error:
            await exchange.refuse(error)
        except h11.LocalProtocolError:
            pass  # the client broke off where an answer no longer fits

    async def _one(self, exchange: Exchange, connection: Connection) -> None:
        request = exchange.request
        if is_call(request):
            await WebCall(exchange, connection, self._calls).serve()
            return
        decision = await self._calls.admit(connection.door, request.path, request.headers)
        if not decision.is_allowed:
            await exchange.respond(_denied(decision))
            return
        body = await exchange.body()
        ended = connection.begin(request.path)
        try:
            if self._page is not None and self._page.takes(request.path):

                async def late(why: str) -> None:
                    self._calls.denials.note(why, method=request.path, peer=connection.door.peer)
                    await self._calls.delay(connection.door)

                response = await self._page.answer(request, body, decision, late)
            else:
                response = await self._route(request)
        finally:
            ended(None)
        await exchange.respond(response)

    async def _route(self, request: HttpRequest) -> HttpResponse:
        handler = self._routes.get(request.path)
        if handler is None:
            if request.path in self._calls.methods:
                message = b"This is a method: POST it as application/grpc-web+proto.\n"
                return HttpResponse(message, 415)
            return _plain(404, "There is no such path.")
        if request.method not in ("GET", "HEAD"):
            return _plain(405, "This path is for GET.", ("allow", "GET, HEAD"))
        try:
            async with asyncio.timeout(ROUTE_S):
                return await handler(request)
        except TimeoutError:
            return _plain(503, "The relay was not done in time.")
        except Exception as error:  # outermost shell of a handler
            where = "".join(traceback.format_tb(error.__traceback__)[-3:])
            self._log.event(
                "error", "internal_error", method=request.path, error=repr(error), where=where
            )
            return _plain(500, "Internal error: the log of the relay says more.")

    async def _healthz(self, request: HttpRequest) -> HttpResponse:
        return _plain(200, "ok") if self._health.is_serving else _plain(503, "stopping")


def _denied(decision: Decision) -> HttpResponse:
    assert decision.why is not None
    status = _STATUS[decision.why]
    header = ("www-authenticate", 'Bearer realm="ccrelay"')
    return _plain(status, decision.message, *HEADERS, *([header] if status == 401 else []))


def _plain(status: int, message: str, *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(f"{message}\n".encode(), status, headers=headers)
