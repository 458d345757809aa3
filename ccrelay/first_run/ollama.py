"""Asks a local Ollama for its models."""

import json
import threading
from typing import Any
from urllib.parse import urlsplit

from ccrelay.config.defaults import Ollama

PROBE_TIMEOUT_S = 0.5
PROBE_BYTES_MAX = 1 << 20  # the list of tags is a few kilobytes


def probe_ollama(base_url: str) -> Ollama | None:
    """Return the Ollama at `base_url`; None when it does not answer within PROBE_TIMEOUT_S."""
    found: list[Ollama] = []

    def probe() -> None:
        models = _fetch_tags(base_url)
        if models is not None:
            found.append(Ollama(base_url, models))

    # In a thread, because name resolution has no timeout.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_TIMEOUT_S)
    return found[0] if found else None


def _fetch_tags(base_url: str) -> tuple[str, ...] | None:
    import http.client  # 2 MB, which a manager has no other use for

    try:
        url = urlsplit(base_url)
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        connection = kinds[url.scheme](url.hostname or "", url.port, timeout=PROBE_TIMEOUT_S)
    except (KeyError, ValueError, http.client.InvalidURL):
        return None
    try:
        connection.request("GET", url.path.rstrip("/") + "/api/tags")
        response = connection.getresponse()
        return tags(response.read(PROBE_BYTES_MAX)) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()


def tags(body: bytes) -> tuple[str, ...]:
    """Return the model names of a response to `GET /api/tags`.

    Raises:
        ValueError: invalid response.
    """
    answer: Any = json.loads(body)
    models = answer.get("models") if isinstance(answer, dict) else None
    if not isinstance(models, list):
        raise ValueError("no list of models")
    names = [model.get("name") for model in models if isinstance(model, dict)]
    return tuple(name for name in names if isinstance(name, str))
