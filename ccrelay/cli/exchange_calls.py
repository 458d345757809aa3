"""What the commands about exchanges ask the relay."""

from collections.abc import Callable
from typing import Any

from ccrelay.cli.connection import Failed, Relay

PAGE_MAX = 1000
DETAILS_MAX = 100  # exchanges of one list whose attempts are asked for
DETAILS_TIMEOUT_S = 2.0

EMPTY = "No exchange yet. Start Claude Code through the relay: ccrelay claude"


def find(relay: Relay, text: str, limit: int, since_ms: int, until_ms: int) -> list[Any]:
    """Return up to `limit` exchanges, the newest first, page by page."""
    from ccrelay.v1.exchanges_pb2 import ExchangesListRequest, ExchangesListResponse

    found: list[Any] = []
    token = ""
    while len(found) < limit:
        request = ExchangesListRequest(
            filter=text,
            page_size=min(limit - len(found), PAGE_MAX),
            page_token=token,
            since_ms=since_ms,
            until_ms=until_ms,
        )
        answer = relay.call("Exchanges/List", request, ExchangesListResponse)
        found += answer.exchanges
        token = answer.next_page_token
        if not token or not answer.exchanges:
            break
    return found[:limit]


def letters_of(relay: Relay) -> dict[str, str]:
    """Return the letters of the providers, as `ccrelay status` shows them."""
    from ccrelay.config.letters import letters
    from ccrelay.v1.providers_pb2 import ProvidersListRequest, ProvidersListResponse

    try:
        answer = relay.call("Providers/List", ProvidersListRequest(), ProvidersListResponse)
    except Failed:
        return {}
    return letters(one.name for one in answer.providers)


def attempts_of(relay: Relay, *, is_bounded: bool = True) -> Callable[[Any], Any]:
    """Return a function that asks for the attempts of an exchange; empty where that fails.

    `is_bounded`: no more than DETAILS_MAX times, so that a long list is not a long wait.
    """
    from ccrelay.v1.exchanges_pb2 import ExchangesGetRequest, ExchangesGetResponse

    left = [DETAILS_MAX]

    def attempts(one: Any) -> Any:
        if is_bounded and left[0] <= 0:
            return ()
        left[0] -= 1
        try:
            request = ExchangesGetRequest(id=one.id)
            answer = relay.call("Exchanges/Get", request, ExchangesGetResponse, DETAILS_TIMEOUT_S)
        except Failed:
            return ()
        return answer.attempts

    return attempts
