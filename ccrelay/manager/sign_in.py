"""The web page of this relay, and links that sign a browser in to it."""

import time
from collections.abc import Mapping

from ccrelay.config.address import page_url, split_listen
from ccrelay.config.places import state_folder
from ccrelay.control.page import Page, cookie_name
from ccrelay.control.session_file import SessionFile
from ccrelay.control.sessions import Sessions
from ccrelay.manager.errors import precondition
from ccrelay.manager.state import RelayState
from ccrelay.types import LogSink

NO_LISTENER = (
    "No page is served: `management.listen` could not be opened. The relay's log says why."
)


class SignInLinks:
    """Makes the links.

    Args:
        state: of the relay.
        env: where the files of the state are.
        log: of the process.
    """

    def __init__(self, state: RelayState, env: Mapping[str, str], log: LogSink) -> None:
        self._state = state
        management = state.start.config.management
        self._is_tls = bool(management.tls_cert and management.tls_key)
        listen = state.start.http_listen
        port = split_listen(listen)[1] if listen else 0
        folder = state_folder(env)
        file = SessionFile(folder, port, log) if folder is not None and port else None
        self._sessions = Sessions(file, time.time)
        self.page = Page(
            self._sessions, cookie_name(port, is_tls=self._is_tls), is_tls=self._is_tls
        )
        if banner := state.start.sign_in:
            ends_at = banner.expires_at_ms / 1000
            self._sessions.add_code(banner.code, ends_at, is_read_only=False)

    def link(self, *, is_read_only: bool) -> tuple[str, int]:
        """Return a link, and when it ends, milliseconds since 1970.

        Raises:
            Refused: FAILED_PRECONDITION, no page is served.
        """
        state = self._state
        listen = state.http_listen
        problem = state.tls_problem or state.token_problem or ("" if listen else NO_LISTENER)
        if problem:
            raise precondition(problem)
        hosts = state.start.config.management.allowed_hosts
        code, ends_at = self._sessions.new_code(is_read_only=is_read_only)
        url = page_url(listen, is_tls=self._is_tls, hosts=hosts)
        return f"{url}/#k={code}", int(ends_at * 1000)
