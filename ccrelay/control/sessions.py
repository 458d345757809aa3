"""Who is signed in to the web page: one-time codes, and the sessions that they become.

A session is known by two secrets. The cookie is kept by the browser, which sends it to every port
of the host: another local server sees it. The page's key is told once, to the page, which keeps it
where only pages of its own origin read; a call needs both. This process keeps neither: a session is
stored under an HMAC of the cookie, keyed by the management token, and the page's key is another
one. So the file of sessions lets no one in, and another token signs everyone out.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from ccrelay.control.session_file import SessionFile, Stored

CODE_BYTES = 16
CODE_S = 300.0
CODES_MAX = 8  # outstanding; the oldest goes
COOKIE_BYTES = 32
SESSION_S = 30 * 86_400.0  # since it was used last
RENEW_S = 86_400.0  # a session that is used is prolonged at most so often
SESSIONS_MAX = 64  # the one that ends first goes

Clock = Callable[[], float]
"""Seconds since 1970: sessions outlive this process."""


@dataclass(slots=True, eq=False)
class Session:
    """A browser that is signed in.

    Args:
        digest: under which it is stored.
        is_read_only: whether it may change nothing.
        expires_at: seconds since 1970.
        is_over: whether it was ended; calls under way end with it.
    """

    digest: str
    is_read_only: bool
    expires_at: float
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session, and its secrets.

    Args:
        session: the session.
        cookie: for the browser.
        page_key: for the page.
    """

    session: Session
    cookie: str
    page_key: str


class Sessions:
    """All sessions of a door, and the codes for new ones.

    Args:
        file: where sessions are kept; None: in this process only.
        now: the wall clock.
    """

    def __init__(self, file: SessionFile | None, now: Clock) -> None:
        self._file = file
        self._now = now
        self._token = b""
        self._sessions: dict[str, Session] = {}
        self._codes: dict[str, tuple[bool, float]] = {}  # digest -> is read-only, ends at
        self._spent: dict[str, float] = {}  # digest -> when the code would have ended

    def use_token(self, token: str) -> None:
        """Use another management token from now on; empty: all sessions end.

        Sessions that were made under it are there again, those of another one are not.
        """
        if token.encode() == self._token:
            return
        self._token = token.encode()
        for session in self._sessions.values():
            session.is_over = True
        self._sessions = {}
        stored = self._file.load() if token and self._file is not None else Stored()
        now = self._now()
        self._spent = stored.spent
        for digest in self._spent:
            self._codes.pop(digest, None)  # told again, by the supervisor to the next manager
        for digest, (is_read_only, expires_at) in stored.sessions.items():
            if now < expires_at <= now + SESSION_S:
                self._sessions[digest] = Session(digest, is_read_only, expires_at)

    # ---- codes

    def new_code(self, *, is_read_only: bool) -> tuple[str, float]:
        """Return a code that signs in once, and when it ends."""
        code = secrets.token_urlsafe(CODE_BYTES)
        ends_at = self._now() + CODE_S
        self.add_code(code, ends_at, is_read_only=is_read_only)
        return code, ends_at

    def add_code(self, code: str, ends_at: float, *, is_read_only: bool) -> None:
        """Let a code sign in that was made elsewhere, unless it has already."""
        digest = _code_digest(code)
        if digest in self._spent:
            return
        self._codes[digest] = (is_read_only, ends_at)
        while len(self._codes) > CODES_MAX:
            del self._codes[next(iter(self._codes))]

    def sign_in(self, code: str) -> SignedIn | None:
        """Begin a session with a code, which is spent; None: there is no such code, or no token."""
        now = self._now()
        digest = _code_digest(code)
        is_read_only, ends_at = self._codes.get(digest, (True, 0.0))
        if not self._token or ends_at <= now:
            return None
        del self._codes[digest]
        self._spent[digest] = ends_at
        cookie = secrets.token_urlsafe(COOKIE_BYTES)
        session = Session(self._digest(cookie), is_read_only, now + SESSION_S)
        self._sessions[session.digest] = session
        while len(self._sessions) > SESSIONS_MAX:
            self._forget(min(self._sessions.values(), key=lambda each: each.expires_at))
        self._save()
        return SignedIn(session, cookie, self._page_key(cookie))

    # ---- sessions

    def find(self, cookie: str, page_key: str) -> Session | None:
        """Return the session of a cookie and the key of its page, and prolong it; None: there is
        none."""
        if not self._token or not cookie.isascii() or not page_key.isascii():
            return None
        session = self._sessions.get(self._digest(cookie))
        is_right = hmac.compare_digest(page_key, self._page_key(cookie))
        if session is None or not is_right or not self.is_valid(session):
            return None
        expires_at = self._now() + SESSION_S
        if expires_at - session.expires_at >= RENEW_S:
            session.expires_at = expires_at
            self._save()
        return session

    def is_valid(self, session: Session) -> bool:
        """Whether a session has neither ended nor expired."""
        return not session.is_over and self._now() < session.expires_at

    def end(self, session: Session) -> None:
        """Sign out."""
        self._forget(session)
        self._save()

    def _forget(self, session: Session) -> None:
        session.is_over = True
        self._sessions.pop(session.digest, None)

    def _digest(self, cookie: str) -> str:
        return self._hmac(b"ccrelay session", cookie)

    def _page_key(self, cookie: str) -> str:
        return self._hmac(b"ccrelay page key", cookie)

    def _hmac(self, purpose: bytes, cookie: str) -> str:
        return hmac.digest(self._token, purpose + b"\0" + cookie.encode(), "sha256").hex()

    def _save(self) -> None:
        now = self._now()
        self._spent = {code: ends for code, ends in self._spent.items() if ends > now}
        for session in [each for each in self._sessions.values() if not self.is_valid(each)]:
            self._forget(session)
        if self._file is not None:
            kept = {d: (s.is_read_only, s.expires_at) for d, s in self._sessions.items()}
            self._file.save(Stored(kept, self._spent))


def _code_digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
