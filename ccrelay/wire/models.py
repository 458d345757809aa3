"""The list of models in the shape Claude Code discovers (gateway contract, section 8).

An entry is an id and its encoded JSON, so that a provider's own members are passed on unchanged and
a page is built by concatenation.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw

from ccrelay._fast.json import count_elements
from ccrelay.config.model import Model, Provider
from ccrelay.wire.bodies import OBJECT, UNREADABLE, first_byte, json_string, read_members
from ccrelay.wire.matching import ModelMatcher, is_glob, strip_window

# The API requires a release time, which the relay does not know.
CREATED_AT = "2025-01-01T00:00:00Z"
# Largest page, and the default: a relay has few models, so one page suffices (the API's default is
# 20). Claude Code requests 1000.
PAGE_MAX = 1000
QUERY_MEMBERS_MAX = 32  # more are not read: a head may have thousands
# What is read of one page of a provider's list. The largest list, OpenRouter's, has 400 models with
# some hundred members each.
ROWS_MAX = 2000
LISTING_ELEMENTS_MAX = 400_000

# Words with irregular capitalisation.
SPELLING = {
    "ai": "AI",
    "deepseek": "DeepSeek",
    "glm": "GLM",
    "gpt": "GPT",
    "minimax": "MiniMax",
    "oss": "OSS",
    "vl": "VL",
}

_SEPARATORS = re.compile(r"[-_:\s]+")
_DATE = re.compile(r"20[0-9]{6}")
_VERSION = re.compile(r"[0-9]{1,2}")
_ENCODER = msgspec.json.Encoder()


class ModelEntry(msgspec.Struct, frozen=True, gc=False):
    """One model of the list."""

    id: str
    body: bytes  # its JSON object


class _Listed(msgspec.Struct, gc=False):
    id: str
    type: str | None = None


class _Listing(msgspec.Struct, gc=False):
    data: list[Raw]


class _Page(msgspec.Struct, gc=False):
    has_more: bool = False
    last_id: str | None = None
    data: list[Raw] = []


_LISTED = msgspec.json.Decoder(_Listed)
_LISTING = msgspec.json.Decoder(_Listing)
_PAGE = msgspec.json.Decoder(_Page)


def configured_entries(provider: Provider) -> list[ModelEntry]:
    """The models named in a provider's configuration, without globs."""
    own = [model for model in provider.models or () if isinstance(model, Model)]
    names = [model for model in provider.models or () if isinstance(model, str)]
    plain = [Model(id=name) for name in [*names, *provider.model_mapping]]
    return [_entry(model) for model in [*own, *plain] if not is_glob(model.id)]


def discovered_entries(listing: bytes, matcher: ModelMatcher) -> list[ModelEntry]:
    """The models of a provider's own list (Anthropic's or OpenAI's shape) that it may be sent.

    Anthropic's entries keep every member; of OpenAI's only the id is used. Invalid entries are
    skipped.
    """
    if len(listing) > LISTING_ELEMENTS_MAX and count_elements(listing) > LISTING_ELEMENTS_MAX:
        return []
    try:
        rows = _LISTING.decode(listing).data
    except UNREADABLE:
        return []
    entries = (_discovered(row) for row in rows[:ROWS_MAX])
    return [entry for entry in entries if entry and matcher.resolve(entry.id) is not None]


def next_page(listing: bytes) -> str | None:
    """The id behind which a provider's next page begins; None: this page is the last.

    It is `last_id`, and where that is missing the id of the last model.
    """
    try:
        page = _PAGE.decode(listing)
        if not page.has_more or not page.data:
            return None
        return page.last_id or _LISTED.decode(page.data[-1]).id or None
    except UNREADABLE:
        return None


def merge(groups: Iterable[Iterable[ModelEntry]]) -> list[ModelEntry]:
    """Deduplicate by id; the first wins, so pass configured groups first."""
    found: dict[str, ModelEntry] = {}
    for group in groups:
        for entry in group:
            found.setdefault(entry.id, entry)
    return list(found.values())


def model_list(
    entries: Sequence[ModelEntry],
    limit: int = PAGE_MAX,
    after_id: str | None = None,
    before_id: str | None = None,
) -> bytes:
    """One page. An unknown cursor gives an empty page, which ends a client's loop."""
    page, has_more = _page(entries, min(max(limit, 1), PAGE_MAX), after_id, before_id)
    return _ENCODER.encode(
        {
            "data": [Raw(entry.body) for entry in page],
            "has_more": has_more,
            "first_id": json_string(page[0].id) if page else None,
            "last_id": json_string(page[-1].id) if page else None,
        }
    )


def find_model(entries: Iterable[ModelEntry], model: str) -> bytes | None:
    """The JSON of one model by id, with or without `[1m]`; None: not listed."""
    by_id = {entry.id: entry.body for entry in entries}
    return by_id.get(model) or by_id.get(strip_window(model))


def page_query(query: str) -> tuple[int, str | None, str | None]:
    """`limit`, `after_id` and `before_id` of a query string; an invalid limit means the default.

    A query of more than QUERY_MEMBERS_MAX members is nobody's, and has none.
    """
    members = parse_qs(query) if query.count("&") < QUERY_MEMBERS_MAX else {}
    fields = {name: values[-1] for name, values in members.items()}
    limit = fields.get("limit", "")
    wanted = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 10 else PAGE_MAX
    return wanted, fields.get("after_id"), fields.get("before_id")


def readable(model: str) -> str:
    """A display name derived from an id: `claude-haiku-4-5-20251001` is `Claude Haiku 4.5`."""
    name = strip_window(model)
    parts: list[str] = []
    for word in _SEPARATORS.split(name.rpartition("/")[2]):
        if not word or _DATE.fullmatch(word):
            continue
        if parts and _VERSION.fullmatch(word) and _VERSION.fullmatch(parts[-1].split(".")[-1]):
            parts[-1] += f".{word}"
        else:
            parts.append(_spell(word))
    window = "" if name == model else " (1M)"
    return (" ".join(parts) or name) + window


def _spell(word: str) -> str:
    if word[0].isdigit():
        return word.upper()  # 30b
    return SPELLING.get(word.lower(), word[0].upper() + word[1:])


def _entry(model: Model) -> ModelEntry:
    fields: dict[str, object] = {
        "type": "model",
        "id": json_string(model.id),
        "display_name": json_string(model.display_name or readable(model.id)),
        "created_at": CREATED_AT,
    }
    if model.description is not None:
        fields["description"] = json_string(model.description)
    if model.max_input_tokens is not None:
        fields["max_input_tokens"] = model.max_input_tokens
    return ModelEntry(model.id, _ENCODER.encode(fields))


def _discovered(row: Raw) -> ModelEntry | None:
    if first_byte(row) != OBJECT:
        return None
    try:
        listed = _LISTED.decode(row)
    except UNREADABLE:
        return None
    members = read_members(row)
    if not listed.id or members is None:
        return None
    if listed.type != "model":
        return _entry(Model(id=listed.id))
    members.setdefault("display_name", json_string(readable(listed.id)))
    members.setdefault("created_at", json_string(CREATED_AT))
    return ModelEntry(listed.id, _ENCODER.encode(members))


def _page(
    entries: Sequence[ModelEntry], limit: int, after_id: str | None, before_id: str | None
) -> tuple[Sequence[ModelEntry], bool]:
    ids = [entry.id for entry in entries]
    if after_id is not None:
        rest = entries[ids.index(after_id) + 1 :] if after_id in ids else ()
        return rest[:limit], len(rest) > limit
    if before_id is not None:
        rest = entries[: ids.index(before_id)] if before_id in ids else ()
        return rest[-limit:], len(rest) > limit
    return entries[:limit], len(entries) > limit
