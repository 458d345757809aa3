"""The web page over HTTP: its files, and `/session`, where a browser signs in and out.

GET /, /assets/*, /streams.js    the files, `favicon.svg` too
POST /session {"code": ...}      a session: its cookie, and the page's key in the body
GET /session                     what the session may do; 401 where there is none
DELETE /session                  its end
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from ccrelay.control.authorise import SESSION_PATH, Decision, is_of_page
from ccrelay.control.http import HttpRequest, HttpResponse
from ccrelay.control.page_files import DIST, HEADERS, PageFiles
from ccrelay.control.sessions import Session, Sessions

COOKIE_S = 400 * 86_400  # as long as browsers allow: when a session ends, the relay decides
SIGNED_OUT = "You are not signed in: run `ccrelay open`."
WRONG_CODE = "This link was used already, or is too old: run `ccrelay open` for another one."

Late = Callable[[str], Awaitable[None]]
"""Called with a reason after a wrong code; waits as after a wrong token."""


class _SignIn(msgspec.Struct):
    """The body of `POST /session`."""

    code: str


class Page:
    """What a TCP door answers to browsers.

    Args:
        sessions: of the door.
        cookie: name of the cookie; it has the port, because browsers send cookies to every port.
        is_tls: whether the cookie is for TLS only.
        folder: of the files.
    """

    def __init__(
        self, sessions: Sessions, cookie: str, *, is_tls: bool, folder: Path = DIST
    ) -> None:
        self.sessions = sessions
        self.cookie = cookie
        self._is_tls = is_tls
        self._files = PageFiles(folder)

    @staticmethod
    def takes(path: str) -> bool:
        """Whether a path is one of the page."""
        return is_of_page(path) or path == SESSION_PATH

    async def answer(
        self, request: HttpRequest, body: bytes, decision: Decision, late: Late
    ) -> HttpResponse:
        """Answer a request that may go on; its path is one of the page."""
        if request.path != SESSION_PATH:
            if request.method in ("GET", "HEAD"):
                return await self._files.answer(request)
            return _text(405, "This path is for GET.", ("allow", "GET, HEAD"))
        match request.method:
            case "POST":
                return await self._sign_in(request, body, decision, late)
            case "GET" | "DELETE" if decision.session is None:
                return _text(401, SIGNED_OUT)
            case "GET":
                return _signed_in(decision.session)
            case "DELETE":
                return self._sign_out(decision.session)
            case _:
                allowed = ("allow", "GET, POST, DELETE")
                return _text(405, "This path is for GET, POST and DELETE.", allowed)

    async def _sign_in(
        self, request: HttpRequest, body: bytes, decision: Decision, late: Late
    ) -> HttpResponse:
        if request.header("content-type").partition(";")[0].strip() != "application/json":
            return _text(415, 'Send {"code": "..."} as application/json.')
        try:
            code = msgspec.json.decode(body, type=_SignIn).code
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _text(400, 'The body has to be {"code": "..."}.')
        made = self.sessions.sign_in(code)
        if made is None:
            await late("wrong_code")
            return _text(401, WRONG_CODE)
        if decision.session is not None:  # the browser forgets its cookie now
            self.sessions.end(decision.session)
        answer = {"read_only": made.session.is_read_only, "page_key": made.page_key}
        return _json(answer, self._set_cookie(made.cookie, COOKIE_S))

    def _sign_out(self, session: Session | None) -> HttpResponse:
        assert session is not None
        self.sessions.end(session)
        return HttpResponse(b"", 204, headers=[*HEADERS, self._set_cookie("", 0)])

    def _set_cookie(self, value: str, age_s: int) -> tuple[str, str]:
        secure = "; Secure" if self._is_tls else ""
        rest = f"Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}"
        return "set-cookie", f"{self.cookie}={value}; {rest}"


def cookie_name(port: int, *, is_tls: bool) -> str:
    """Return the name of the cookie of a page."""
    return f"{'__Host-' if is_tls else ''}ccrelay-{port}"


def _signed_in(session: Session | None) -> HttpResponse:
    assert session is not None
    return _json({"read_only": session.is_read_only})


def _json(answer: dict[str, object], *headers: tuple[str, str]) -> HttpResponse:
    body = msgspec.json.encode(answer)
    return HttpResponse(body, content_type="application/json", headers=[*HEADERS, *headers])


def _text(status: int, message: str, *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(f"{message}\n".encode(), status, headers=[*HEADERS, *headers])
