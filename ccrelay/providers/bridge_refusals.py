"""What a cloud's error says about the features of the request that it refused.

The error's text is matched with anchored patterns, and what they find must be a beta, a member, a
tool type that may be left out: an odd or hostile text can make the relay leave out what the table
knows and other members that are no part of the conversation, never `messages`, `tools`, `system`,
`model`, `max_tokens`. Wording: gateway contract, section 6.1; clouds reference, sections 2 and 4;
providers reference, section 3.3.
"""

import re

import msgspec

from ccrelay.providers.base import read_fault
from ccrelay.providers.bridge_features import BY_BETA, BY_PART
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

# The beginning of a complaint: of the text, a line, or behind another complaint.
_START = r"(?:^|[\n;,]|[.:] )\s*"
_PATH = r"([A-Za-z_]\w*(?:[.\[][\w\]]+){0,12})"
_EXTRA = re.compile(_START + _PATH + r": Extra inputs are not permitted", re.MULTILINE)
_TAG = re.compile(
    _START + _PATH + r": Input tag '([\w-]{1,64})' found using [^\n]{0,40}does not match",
    re.MULTILINE,
)
# Values that a provider does not know; not those that a client has made up.
_VALUE = re.compile(
    _START + _PATH + r": (?:Input should be ([^\n]{1,80})|String should match pattern)",
    re.MULTILINE,
)
# Bedrock's JSON schema: `#/messages/1: extraneous key [output_config] is not permitted`.
_EXTRANEOUS = re.compile(r"#((?:/\w{1,40}){0,8}): extraneous key \[(\w{1,64})\] is not permitted")
# Google's: `Unknown name "x" at 'tools[0]': Cannot find field.`
_UNKNOWN_NAME = re.compile(
    r"Unknown name \"(\w{1,64})\"(?: at '([\w.\[\]]{0,80})')?: Cannot find field"
)
# Of Azure's gateways: `Unknown parameter: 'x'.`, `Unrecognized request argument supplied: x`
_PARAMETER = re.compile(
    r"(?:^|[.:] )(?:unknown|unrecognized|unsupported|unexpected) (?:request )?"
    r"(?:parameter|argument|field|property)(?: supplied)?: [`'\"]?" + _PATH,
    re.IGNORECASE | re.MULTILINE,
)
_BETA = re.compile(r"(?<![\w-])[a-z0-9]+(?:-[a-z0-9]+){0,10}-20\d\d-\d\d-\d\d(?![\w-])")
_OF_BETAS = re.compile(
    r"unexpected value\(s\)[^\n]{0,400}anthropic-beta|(?:invalid|unknown|unsupported|unrecognized)"
    r"[^\n]{0,40}\bbeta|beta[^\n]{0,80}(?:not supported|not available|not allowed|invalid"
    r"|unsupported|unknown|unexpected|unrecognized)",
    re.IGNORECASE,
)
# Behind these words, an error lists what it would have taken.
_GOOD_ONES = re.compile(
    r"\b(?:expected|valid values|valid betas|supported values|supported betas|allowed values"
    r"|one of|must be|should be|did you mean)\b",
    re.IGNORECASE,
)
_TOOL_TYPES = re.compile(
    r"does not support tool types?:? ([`'\"\w]{3,66}(?:, [`'\"\w]{3,66}){0,9})"
)
_WORD = re.compile(r"\w{3,64}")
_IS_NOT = re.compile(
    r"(?:^|[\s`'\"(])([a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*)[`'\")]*(?: parameter| tool| field)?"
    r" (?:is|are) (?:not (?:available|supported|permitted|allowed|enabled|yet supported)"
    r"|unsupported|deprecated|disallowed)"
)
_HAS_NO = re.compile(
    r"(?:does not|doesn't) support (?:the )?[`'\"]?([a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*)[`'\"]?"
    r"(?: parameter| field| feature| beta| tool| context management strategy|[.,;]|$)"
)


def _of_words(words: str, feature: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Both ways to say that what has such a name is missing."""
    missing = rf"\b{words} (?:feature )?(?:is|are) not (?:supported|available|enabled|allowed)\b"
    lacking = rf"\b(?:does not|doesn't) support (?:the )?{words}(?: feature)?(?:[.,;]|$)"
    return (
        (re.compile(missing, re.IGNORECASE), feature),
        (re.compile(lacking, re.IGNORECASE | re.MULTILINE), feature),
    )


# Sentences that name no member.
_SENTENCES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"adaptive thinking is not supported", re.IGNORECASE), "adaptive_thinking"),
    (re.compile(r"thinking\.type\.enabled\W{0,3} is not supported"), "thinking_budget"),
    (re.compile(r"thinking\.type\.disabled\W{0,3} is not supported"), "thinking_disabled"),
    (re.compile(r"^messages: Unexpected role \W?system\b"), "system_turns"),
    (re.compile(r"role \W?system\W? is not supported"), "system_turns"),
    *_of_words("mid-conversation system (?:messages?|turns?)", "system_turns"),
    *_of_words("tool[ _](?:search|references?)(?: blocks?)?", "tool_search"),
    *_of_words("structured outputs?", "structured_outputs"),
    *_of_words("web search", "web_search"),
    *_of_words("web fetch", "web_fetch"),
    *_of_words("code execution", "code_execution"),
    (re.compile(r"(?:^|\W)(?:URL|url) sources are not (?:supported|available)"), "url_sources"),
)
# What a word of a sentence stands for, beside the parts of the table.
_WORDS = {"thinking.display": "thinking_display", "defer_loading": "tool_search"}


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
    if not found and not betas and _OF_BETAS.search(text):
        found = dict.fromkeys(_guesses(surface))
    names = [name for name in found if name not in NEVER and len(name) <= NAME_BYTES_MAX]
    return tuple(names[:NAMES_MAX])


def names_no_beta(status: int, body: bytes) -> bool:
    """Whether an error is about a beta that it does not name: `refused_features` guesses then."""
    if status not in _STATUSES:
        return False
    text = _text(status, body)
    is_named = _paths(text) or _sentences(text) or _betas(text)
    return not is_named and _OF_BETAS.search(text) is not None


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
    for path in _EXTRA.findall(text):
        found += _of_path(path)
    for path in _PARAMETER.findall(text):
        found += _of_path(path)
    for path, key in _EXTRANEOUS.findall(text):
        found += _of_path(f"{path[1:].replace('/', '.')}.{key}".strip("."))
    for key, path in _UNKNOWN_NAME.findall(text):
        found += _of_path(f"{path}.{key}".strip("."))
    for path, tag in _TAG.findall(text):
        found += _of_tag(path, tag)
    for path, values in _VALUE.findall(text):
        found += _of_value(path, values)
    return found


def _steps(path: str) -> list[str]:
    """`tools[0].custom.defer_loading` -> tools, custom, defer_loading: without numbers."""
    return [step for step in re.split(r"[.\[\]]+", path) if step and not step.isdecimal()]


def _of_path(path: str) -> list[str]:
    """The features of a member that an error names by its path."""
    steps = _steps(path)
    if not steps:
        return []
    first, last = steps[0], steps[-1]
    if "cache_control" in steps[1:]:
        return _known(f"cache:{last}")
    if first == "messages":
        if len(steps) == 2:
            own = [] if last in ("role", "content") else [f"turn:{last}"]
            return _known(f"turn:{last}") or own
        return ["tool_search"] if "tool_reference" in steps else []
    if first == "tools":
        return _tool_member(steps)
    if first == "system" or first in ESSENTIAL:
        return []
    if first in ("thinking", "output_config") and len(steps) > 1:
        return _known(f"member:{first}.{last}") or [f"member:{first}.{last}"]
    if first == "output_config":
        return ["effort", "structured_outputs"]
    return _known(f"member:{first}") or ([f"member:{first}"] if len(steps) == 1 else [])


def _tool_member(steps: list[str]) -> list[str]:
    # `tools.0.custom.defer_loading`: the word between is the tool's type.
    if len(steps) not in (2, 3) or steps[-1] in ("name", "type", "description", "input_schema"):
        return []
    if len(steps) == 3 and steps[1] != "custom" and not re.search(r"_20\d{6}$", steps[1]):
        return []
    return _known(f"tool-member:{steps[-1]}") or [f"tool-member:{steps[-1]}"]


def _of_tag(path: str, tag: str) -> list[str]:
    """The feature of a type that is not known at a path."""
    steps = _steps(path)
    if steps[:1] == ["tools"] and len(steps) <= 2:
        return _tool(tag)
    if steps[:1] == ["context_management"]:
        return _longest("edit", tag) or ["context_management"]
    if steps == ["thinking"] and tag in ("adaptive", "enabled", "disabled"):
        return _known(f"member:thinking={tag}")
    if steps[:1] == ["messages"] and steps[-1] == "source":
        return _known(f"source:{tag}")
    if steps[:1] == ["messages"]:
        return _known(f"block:{tag}")
    return []


def _of_value(path: str, values: str) -> list[str]:
    """The feature of a value that is not among those that a provider takes."""
    steps = _steps(path)
    if steps == ["messages", "role"]:
        return [] if "system" in values else ["system_turns"]
    if steps[:1] == ["thinking"] and steps[-1] == "display":
        return [] if not values or "updates" in values else ["thinking_display"]
    # Bedrock takes no JSON as a user's id.
    return ["metadata"] if steps == ["metadata", "user_id"] and not values else []


# --- betas and sentences --------------------------------------------------------------------------


def _betas(text: str) -> list[str]:
    if not _OF_BETAS.search(text):
        return []
    good = _GOOD_ONES.search(text)
    return [
        name
        for beta in _BETA.findall(text[: good.start()] if good else text)
        for name in (_known_beta(beta) or [f"beta:{beta}"])
    ]


def _sentences(text: str) -> list[str]:
    found = [name for pattern, name in _SENTENCES if pattern.search(text)]
    for types in _TOOL_TYPES.findall(text):
        for word in _WORD.findall(types):
            found += _tool(word)
    for word in (*_IS_NOT.findall(text), *_HAS_NO.findall(text)):
        found += _of_word(word)
    return found


def _of_word(word: str) -> list[str]:
    """The feature of a word, where it is one of the table's or a beta by its form."""
    if word in _WORDS:
        return [_WORDS[word]]
    if _BETA.fullmatch(word):
        return _known_beta(word) or [f"beta:{word}"]
    if word == "effort":
        return ["effort"]
    if word.startswith("cache_control."):
        return _known(f"cache:{word.rpartition('.')[2]}")
    known = _known(f"member:{word}") or _known(f"tool-member:{word}") or _longest("edit", word)
    # Types of tools have a date, which a sentence may leave out.
    return known or _longest("tool", word) or _longest("tool", f"{word}_")


def _known(part: str) -> list[str]:
    found = BY_PART.get(part)
    return [found.name] if found else []


def _known_beta(beta: str) -> list[str]:
    found = BY_BETA.get(beta)
    return [found.name] if found else []


def _tool(kind: str) -> list[str]:
    # A date tells a type of Anthropic's from the name of a client's tool.
    return _longest("tool", kind) or ([f"tool:{kind}"] if re.search(r"_20\d{6}$", kind) else [])


def _longest(kind: str, value: str) -> list[str]:
    starts = [part for part in BY_PART if f"{kind}:{value}".startswith(part)]
    return [BY_PART[max(starts, key=len)].name] if starts else []
