"""The models of `GET /v1/models`. Messages are answered for any other model id, too."""

from typing import Any

from ccrelay.errors import BadRequest, NotFound

PAGE_DEFAULT = 20  # entries, as at Anthropic
PAGE_MAX = 1000


def _model(
    model_id: str, display_name: str, created: str, window: int, output: int
) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model_id,
        "display_name": display_name,
        "created_at": f"{created}T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": window,
        "max_tokens": output,
    }


MODELS: tuple[dict[str, Any], ...] = (
    _model("claude-opus-5-5", "Claude Opus 5.5 (demo)", "2026-10-01", 1_000_000, 128_000),
    _model("claude-sonnet-5-5", "Claude Sonnet 5.5 (demo)", "2026-10-01", 1_000_000, 128_000),
    _model("claude-haiku-5-5", "Claude Haiku 5.5 (demo)", "2026-10-01", 1_000_000, 128_000),
    _model("claude-opus-5", "Claude Opus 5 (demo)", "2026-06-01", 1_000_000, 128_000),
    _model("claude-sonnet-4-6", "Claude Sonnet 4.6 (demo)", "2026-02-01", 1_000_000, 128_000),
    _model("claude-haiku-4-5-20251001", "Claude Haiku 4.5 (demo)", "2025-10-01", 200_000, 64_000),
)


def find(model_id: str) -> dict[str, Any]:
    """Return one model. Raises NotFound."""
    for model in MODELS:
        if model["id"] == model_id:
            return model
    raise NotFound(f"model: {model_id}")


def page(query: dict[str, str]) -> dict[str, Any]:
    """Return the page for the query parameters `limit`, `after_id` and `before_id`.

    Raises:
        BadRequest: `limit` is not a number from 1 to 1000, or an id is not in the list.
    """
    limit = query.get("limit", str(PAGE_DEFAULT))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= PAGE_MAX:
        raise BadRequest(f"limit: Input should be a number from 1 to {PAGE_MAX}")
    if "before_id" in query:
        rest = MODELS[: _position(query["before_id"])]
        data = rest[-int(limit) :]
    else:
        start = _position(query["after_id"]) + 1 if "after_id" in query else 0
        rest = MODELS[start:]
        data = rest[: int(limit)]
    return {
        "data": list(data),
        "has_more": len(rest) > len(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def _position(model_id: str) -> int:
    for position, model in enumerate(MODELS):
        if model["id"] == model_id:
            return position
    raise BadRequest(f"after_id and before_id must name a listed model, not {model_id!r}")
