"""What the relay answers by itself: health, the list of models, token estimates."""

from urllib.parse import unquote

import orjson

from ccrelay import __version__
from ccrelay._fast.http1 import Head
from ccrelay.errors import NotFound, RelayError
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.wire.errors import json_response
from ccrelay.wire.models import ModelEntry, find_model, model_list, page_query

LOCAL_PATHS = frozenset({b"/", b"/health", b"/ready", b"/api/hello"})


def local_answer(
    path: bytes, providers: list[ProviderState], now: float, *, keep_alive: bool, body_wanted: bool
) -> tuple[int, bytes]:
    """Status and whole response for `/`, `/health`, `/ready` and `/api/hello`."""
    status = 200
    if path == b"/ready":
        usable = [provider.name for provider in providers if provider.usable(now)]
        status = 200 if usable else 503
        body = orjson.dumps({"ready": bool(usable), "providers": usable})
    elif path == b"/health":
        body = b'{"status":"ok"}'
    else:
        body = orjson.dumps({"name": "ccrelay", "version": __version__})
    return status, json_response(status, body, (), keep_alive, body_wanted)


def models_body(entries: list[ModelEntry], path: bytes, query: bytes) -> bytes:
    """The page or the single model that a GET asks for.

    Raises:
        NotFound: no such model.
    """
    if path in (b"/v1/models", b"/v1/models/"):
        limit, after_id, before_id = page_query(query.decode("latin-1"))
        return model_list(entries, limit, after_id, before_id)
    name = unquote(path[len(b"/v1/models/") :].decode("latin-1"))
    found = find_model(entries, name)
    if found is None:
        raise not_served(name, [entry.id for entry in entries])
    return found


def not_served(model: str, served: list[str]) -> RelayError:
    """The 404 for a model that no provider serves, naming what is served."""
    shown = model if len(model) <= 100 else model[:100] + "..."
    names = ", ".join(served[:30]) or "nothing"
    return NotFound(
        f"No provider serves the model {shown!r}. Served: {names}. "
        "Add it to a provider's models or model_mapping."
    )


# Of an error answer that had to be translated, these fields still mean what they say.
_PASSED_ON = (b"request-id", b"retry-after", b"x-should-retry")


def passed_on(head: Head, forbids_retry: bool) -> list[tuple[bytes, bytes]]:
    """The fields of an upstream's error head that go with its translated body."""
    fields = [(name, value) for name in _PASSED_ON if (value := head.get(name)) is not None]
    if forbids_retry and head.get(b"x-should-retry") is None:
        fields.append((b"x-should-retry", b"false"))
    return fields
