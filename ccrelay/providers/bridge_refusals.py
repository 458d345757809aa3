"""What a cloud's error says about the features of the request that it refused.

The error's text is matched with the patterns of `bridge_wording`, and what they find must be a
beta, a member, a tool type that may be left out: an odd or hostile text can make the relay leave
out what the table knows and other members that are no part of the conversation, never `messages`,
`tools`, `system`, `model`, `max_tokens`.
"""

import re

import msgspec

from ccrelay.providers import bridge_wording as wording
from ccrelay.providers.base import read_fault
from ccrelay.providers.bridge_features import BY_BETA, BY_NAME, BY_PART
from ccrelay.providers.bridge_plan import ESSENTIAL, UNKNOWN_BETAS, plan_of
from ccrelay.providers.bridge_rows import Surface
from ccrelay.wire.bodies import UNREADABLE, is_dense

# The server-side check of auto mode: its client recovers by the error's own words, and must know
# that nothing was checked.
NEVER = frozenset({"safeguards", "auto_mode"})
# Left out in this order where an error names no beta, behind those that are not known: what is
# missed least comes first.
GUESSED = (
    *("thinking_display", "thinking_token_count", "tool_search", "context_management"),
    *("long_context", "effort", "interleaved_thinking"),
)
# Of one error; and bytes of a name, which has to fit into an entry of the shared memory.
NAMES_MAX = 8
NAME_BYTES_MAX = 56

_STATUSES = frozenset({400, 422})
_TEXT_MAX = 4096
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])

# What a word of a sentence stands for, beside the parts of the table.
_WORDS = {
    "thinking.display": ("thinking_display",),
    "defer_loading": ("tool_search",),
    "effort": ("effort",),
    "output_config": ("effort", "structured_outputs"),
}
# What a gateway puts before a path.
_AROUND = frozenset({"body", "request", "input", "params", "payload", "requestbody"})
# A date tells a type of Anthropic's from the name of a client's tool.
_DATED = re.compile(r"_20\d{6}$")
_NAME = re.compile(r"[A-Za-z_]\w*(?:[-.\[]+[\w\]]+)*")
_AND = frozenset({"and", "or"})


def refused_features(surface: Surface, status: int, body: bytes) -> tuple[str, ...]:
    """The features that an error names: of the table, else `beta:NAME`, `member:NAME` and so on.

    Where it says "invalid beta flag" and names none, those that may be the cause, in the order in
    which they are left out. Empty: the error is about something else. Any bytes are read.
    """
    if status not in _STATUSES:
        return ()
    text = _text(status, body)
    found = dict.fromkeys(_paths(text) + _sentences(text))
    betas = _betas(text)
    found.update(dict.fromkeys(betas))
    if not found and not betas and wording.OF_BETAS.search(text):
        found = dict.fromkeys(_guesses(surface))
    names = [name for name in found if name not in NEVER and len(name) <= NAME_BYTES_MAX]
    return tuple(names[:NAMES_MAX])


def names_no_beta(status: int, body: bytes) -> bool:
    """Whether an error is about a beta that it does not name: `refused_features` guesses then."""
    if status not in _STATUSES:
        return False
    text = _text(status, body)
    is_named = _paths(text) or _sentences(text) or _betas(text)
    return not is_named and wording.OF_BETAS.search(text) is not None


def sent_features(features: tuple[str, ...], header: bytes, body: bytes) -> tuple[str, ...]:
    """Those of guessed features of which a request had a beta.

    Args:
        features: of `refused_features`.
        header: value of the request's `anthropic-beta`.
        body: of the request, which may have a list of its own.
    """
    betas = [beta.strip() for beta in header.decode("latin-1").split(",") if beta.strip()]

    def is_sent(feature: str) -> bool:
        if feature == UNKNOWN_BETAS:
            return any(beta not in BY_BETA for beta in betas)
        own = BY_NAME[feature].betas
        return any(beta in betas or f'"{beta}"'.encode() in body for beta in own)

    return tuple(feature for feature in features if is_sent(feature))


def _text(status: int, body: bytes) -> str:
    """The message of an error of any shape, also in an array or in another message."""
    message = ""
    for _ in range(2):
        body = body.strip()
        if body[:1] == b"[" and not is_dense(body):
            try:
                body = bytes(next(iter(_ITEMS.decode(body)), b""))
            except UNREADABLE:
                return ""
        message = read_fault(status, body).message
        if message.lstrip()[:1] not in ("{", "["):
            break
        body = message.encode("utf-8", "replace")
    return message[:_TEXT_MAX]


def _guesses(surface: Surface) -> list[str]:
    plan = plan_of(surface, None, "messages", frozenset())
    kept = {place.feature for place in plan.betas.values() if place.header or place.listed}
    unknown = [UNKNOWN_BETAS] if plan.unknown_betas else []
    return unknown + [name for name in GUESSED if name in kept or not plan.strict]


# --- members and tools by their path ------------------------------------------------------------


def _paths(text: str) -> list[str]:
    found: list[str] = []
    for pattern in wording.MEMBERS:
        for names in pattern.findall(text):
            found += _of_list(names)
    for pointer, keys in wording.EXTRANEOUS.findall(text):
        for key in wording.WORD.findall(keys):
            found += _of_path(f"{pointer[1:].replace('/', '.')}.{key}".strip("."))
    for key, path in wording.UNKNOWN_NAME.findall(text):
        found += _of_path(f"{path}.{key}".strip("."))
    for path, tag, value in wording.TAG.findall(text):
        found += _of_tag(path, tag or value)
    for path, values in wording.VALUE.findall(text):
        found += _of_value(path, values)
    return found


def _of_list(names: str) -> list[str]:
    """The features of members in a list; a bare word between others may be prose."""
    found: list[str] = []
    listed = [name for name in _NAME.findall(names) if name.lower() not in _AND]
    for name in listed:
        is_told = len(listed) == 1 or "_" in name or "." in name or f"{name}`" in names
        is_told = is_told or f"{name}'" in names or f'{name}"' in names
        found += _of_path(name) if is_told else _known(f"member:{name}")
    return found


def _steps(path: str) -> list[str]:
    """`body.tools[0].custom.strict` -> tools, custom, strict: without numbers and the outside."""
    steps = [step for step in re.split(r"[.\[\]]+", path) if step and not step.isdecimal()]
    while len(steps) > 1 and steps[0].lower() in _AROUND:
        del steps[0]
    # Names of the API are in lower case; a name that it does not have stays as it is.
    return [*(step.lower() for step in steps[:-1]), steps[-1]] if steps else []


def _of_path(path: str) -> list[str]:
    """The features of a member that an error names by its path."""
    steps = _steps(path)
    if not steps:
        return []
    first, last = steps[0], steps[-1]
    if len(steps) == 1:
        return _member(last)
    if "cache_control" in steps[1:]:
        return _known(f"cache:{last}")
    if first == "messages":
        if len(steps) == 2:
            own = [] if last.lower() in ("role", "content") else [f"turn:{last}"]
            return _known(f"turn:{last}") or own
        return ["tool_search"] if "tool_reference" in steps else []
    if first == "tools":
        return _tool_member(steps)
    if first in ESSENTIAL:
        return []
    if first in ("thinking", "output_config"):
        return _known(f"member:{first}.{last}") or [f"member:{first}.{last}"]
    return _known(f"member:{first}")


def _member(name: str) -> list[str]:
    """The features of a member whose place is not told: mostly one of the body itself."""
    if name.lower() in ESSENTIAL:
        return []
    if known := _known(f"member:{name}") or list(_WORDS.get(name.lower(), ())):
        return known
    places = (f"tool-member:{name}", f"turn:{name}", f"member:thinking.{name}")
    return next((found for place in places if (found := _known(place))), [f"member:{name}"])


def _tool_member(steps: list[str]) -> list[str]:
    # `tools.0.custom.defer_loading`: the word between is the tool's type.
    last = steps[-1].lower()
    if len(steps) not in (2, 3) or last in ("name", "type", "description", "input_schema"):
        return []
    if len(steps) == 3 and steps[1] != "custom" and not _DATED.search(steps[1]):
        return []
    return _known(f"tool-member:{steps[-1]}") or [f"tool-member:{steps[-1]}"]


def _of_tag(path: str, tag: str) -> list[str]:
    """The feature of a type or value that is not known at a path."""
    steps, tag = _steps(path), tag.lower()
    if len(steps) > 1 and steps[-1] == "type":
        del steps[-1]
    if steps[:1] == ["tools"]:
        return _tool(tag) if len(steps) <= 2 else []
    if steps[:1] == ["context_management"]:
        return _longest("edit", tag) or ["context_management"]
    if steps == ["thinking"]:
        return _known(f"member:thinking={tag}")
    if steps[:1] == ["thinking"] and steps[-1] == "display":
        return ["thinking_display"]
    if steps[:1] != ["messages"]:
        return []
    if steps[1:] == ["role"]:
        return _known(f"turn:role={tag}")
    return _known(f"source:{tag}") if steps[-1] == "source" else _known(f"block:{tag}")


def _of_value(path: str, values: str) -> list[str]:
    """The feature of a value that is not among those that a provider takes."""
    steps, values = _steps(path), values.lower()
    if steps == ["messages", "role"]:
        return [] if "system" in values else ["system_turns"]
    if steps == ["thinking", "type"]:
        return [
            BY_PART[f"member:thinking={kind}"].name
            for kind in ("adaptive", "enabled", "disabled")
            if kind not in values
        ]
    if steps[:1] == ["thinking"] and steps[-1] == "display":
        return [] if not values or "updates" in values else ["thinking_display"]
    if "cache_control" in steps and steps[-1] == "ttl":
        return [] if not values or "1h" in values else ["cache_ttl"]
    # Bedrock takes no JSON as a user's id.
    return ["metadata"] if steps == ["metadata", "user_id"] and not values else []


# --- betas and sentences --------------------------------------------------------------------------


def _betas(text: str) -> list[str]:
    if not wording.OF_BETAS.search(text):
        return []
    good = wording.GOOD_ONES.search(text)
    return [
        name
        for beta in wording.BETA.findall(text[: good.start()] if good else text)
        for name in (_known_beta(beta) or [f"beta:{beta}"])
    ]


def _sentences(text: str) -> list[str]:
    found = [name for pattern, name in wording.PROSE if pattern.search(text)]
    for lists in wording.TOOL_TYPES.findall(text):
        for word in wording.WORD.findall(" ".join(lists)):
            found += _tool(word.lower())
    for pattern in wording.SENTENCES:
        for names in pattern.findall(text):
            for word in _NAME.findall(names):
                found += _of_word(word.lower())
    return found


def _of_word(word: str) -> list[str]:
    """The feature of a word, where it is one of the table's or a beta by its form."""
    if word in _WORDS:
        return list(_WORDS[word])
    if wording.BETA.fullmatch(word):
        return _known_beta(word) or [f"beta:{word}"]
    if word.startswith("cache_control."):
        return _known(f"cache:{word.rpartition('.')[2]}")
    if "." in word or "[" in word:
        return [name for name in _of_path(word) if name in BY_NAME]
    known = _known(f"member:{word}") or _known(f"tool-member:{word}") or _longest("edit", word)
    # Types of tools have a date, which a sentence may leave out.
    return known or _longest("tool", f"{word}_") or _tool(word)


def _known(part: str) -> list[str]:
    found = BY_PART.get(part) or BY_PART.get(part.lower())
    return [found.name] if found else []


def _known_beta(beta: str) -> list[str]:
    found = BY_BETA.get(beta)
    return [found.name] if found else []


def _tool(kind: str) -> list[str]:
    return _longest("tool", kind) or ([f"tool:{kind}"] if _DATED.search(kind) else [])


def _longest(kind: str, value: str) -> list[str]:
    starts = [part for part in BY_PART if f"{kind}:{value}".startswith(part)]
    return [BY_PART[max(starts, key=len)].name] if starts else []
