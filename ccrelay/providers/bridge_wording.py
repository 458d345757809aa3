"""The wordings by which errors name what they refuse of a request. Data: patterns, no rules.

One vocabulary for all clouds and gateways: names may be quoted in any way, may stand in a list,
and in any case; a complaint stands behind them (`x: Extra inputs are not permitted`), before them
(`Unknown field: x`) or around them (`This model does not support x.`). Wording: gateway contract,
section 6.1; clouds reference, sections 2 and 4; providers reference, section 3.3; pydantic, serde,
ajv and protobuf, by which the servers check.
"""

import re

_QUOTE = r"[`'\"\u2018\u2019\u201c\u201d]?"
# A member with its path: `messages.3.content.0.type`, `tools[0].strict`.
_PATH = r"[A-Za-z_]\w{0,63}(?:[.\[][\w\]]{1,64}){0,12}"
_MORE = rf"(?:(?:, ?(?:and |or )?| and | or | & ){_QUOTE}{_PATH}{_QUOTE}){{0,7}}"
_LIST = rf"({_QUOTE}{_PATH}{_QUOTE}{_MORE})"
# The beginning of a complaint: of the text, a line, or behind another complaint.
_START = r"(?:^|[\n;,]|[.:] )[ \t]*(?:\*{1,3}\.)?"
_NOUN = r"(?:parameters?|arguments?|fields?|propert(?:y|ies)|keys?|members?|inputs?)"
_STRANGE = r"(?:unknown|unrecogni[sz]ed|unsupported|unexpected|disallowed|extraneous)"
_ADVERB = r"(?:yet |currently |longer )?"
_GOOD = r"(?:available|supported|permitted|allowed|enabled|recogni[sz]ed|accepted)"
_VERB = r"(?:is|are)"  # what was so is told of something else
# "x is not supported when y is set" is a conflict in the request, which its client has to mend.
_ALWAYS = (
    r"\b(?! (?:when|while|if|unless|together|alongside|in combination)\b(?! us)"
    r"| with (?!this\b|the\b|your\b|model|claude))"
)
_NOT = (
    rf"(?:{_VERB} (?:not|no) {_ADVERB}(?:yet )?{_GOOD}"
    rf"|(?:isn.t|aren.t) {_ADVERB}{_GOOD}"
    rf"|(?:is|are) (?:unsupported|deprecated|disallowed|unrecogni[sz]ed)){_ALWAYS}"
)
_CANNOT = r"(?:does not|doesn.t|do not|don.t) (?:yet |currently )?support"
_ANY_CASE = re.IGNORECASE | re.MULTILINE


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, _ANY_CASE)


# A name behind its complaint stands behind a colon or in quotes: other words are prose.
_TOLD = r"(?:: | (?=[`'\"\u2018\u201c]))"

# ---- members: the group is a list of paths

MEMBERS = (
    # pydantic, in each of its forms; others put the complaint in fewer words.
    _pattern(
        rf"{_START}{_LIST}:?\s+(?:extra (?:inputs|fields) (?:are )?not permitted"
        rf"|{_STRANGE} {_NOUN}\b)"
    ),
    _pattern(rf"{_START}{_LIST}: (?:not (?:permitted|supported|allowed)\b|cannot find field)"),
    _pattern(rf"\bextra (?:inputs|fields) (?:are )?not permitted(?: in the request)?: {_LIST}"),
    # Of gateways: `Unknown parameter: 'x'.`, `Unrecognized request argument supplied: x`
    _pattern(rf"\b{_STRANGE} (?:request |body )?{_NOUN}(?: supplied| names?)?{_TOLD}{_LIST}"),
    # ajv and jsonschema: `Additional properties are not allowed ('x', 'y' were unexpected)`
    _pattern(rf"\badditional properties are not allowed \({_LIST} (?:was|were) unexpected"),
)
# Bedrock's JSON schema: `#/messages/1: extraneous key [output_config] is not permitted`.
EXTRANEOUS = _pattern(
    r"#((?:/\w{1,40}){0,8}): extraneous keys? \[([\w, ]{1,200})\] (?:is|are) not permitted"
)
# Google's: `Unknown name "x" at 'tools[0]': Cannot find field.`
UNKNOWN_NAME = _pattern(
    r"unknown name \"(\w{1,64})\"(?: at '([\w.\[\]]{0,80})')?: cannot find field"
)
# A type or value at a path, and the path.
TAG = _pattern(
    rf"{_START}({_PATH}): (?:input tag {_QUOTE}([\w-]{{1,64}}){_QUOTE} found using"
    rf"[^\n]{{0,40}}does not match"
    rf"|{_STRANGE} (?:value|type|tag|tool type):? {_QUOTE}([\w-]{{1,64}}))"
)
# Values that a provider does not know; not those that a client has made up.
VALUE = _pattern(
    rf"{_START}({_PATH}): (?:(?:input should be|must be)(?: one of| either)?:? ([^\n]{{1,80}})"
    r"|string should match pattern)"
)

# ---- words of a sentence: the group is a list of names

_NAMES = rf"({_QUOTE}[a-z]\w{{0,63}}(?:[-.\[\]]+\w{{1,64}}){{0,12}}{_QUOTE}"
_NAMES += rf"(?:(?:, ?(?:and |or )?| and | or | & ){_QUOTE}[a-z][\w.-]{{1,80}}{_QUOTE}){{0,7}})"
_KIND = r"(?: (?:parameter|tool|field|feature|beta|block|member|option|propert(?:y|ie)|key)s?)?"
SENTENCES = (
    _pattern(rf"(?:^|[\s(:]){_NAMES}\)?{_KIND} {_NOT}\b"),
    _pattern(rf"(?:^|[\s(:]){_NAMES}{_KIND} not {_GOOD}\b"),
    _pattern(
        rf"\b{_CANNOT} (?:the )?{_NAMES}"
        rf"(?: (?:parameter|field|feature|beta|tool|context management strategy)s?\b|[.,;]|$)"
    ),
)
TOOL_TYPES = _pattern(
    rf"(?:{_CANNOT}|{_STRANGE}|invalid) tool types?:? "
    r"([`'\"\w]{3,66}(?:, [`'\"\w]{3,66}){0,9})"
    rf"|\btool types? {_QUOTE}(\w{{3,64}}){_QUOTE} (?:{_VERB} )?not {_GOOD}\b"
)
WORD = re.compile(r"\w{3,64}")

# ---- betas

BETA = re.compile(r"(?<![\w-])[a-z0-9]+(?:-[a-z0-9]+){0,10}-20\d\d-\d\d-\d\d(?![\w-])")
_WRONG = (
    rf"(?:invalid|{_STRANGE}|not {_ADVERB}{_GOOD}|not (?:a )?(?:valid|known)"
    r"|(?:isn|aren).t (?:\w+ )?(?:valid|supported|available|allowed|enabled|recogni[sz]ed))"
)
_OF_A_BETA = r"(?:\bbetas?\b|\banthropic[-_]beta)"
OF_BETAS = _pattern(rf"\b{_WRONG}[^\n]{{0,400}}{_OF_A_BETA}|{_OF_A_BETA}[^\n]{{0,200}}\b{_WRONG}")
# Behind these words, an error lists what it would have taken.
GOOD_ONES = _pattern(
    r"\b(?:expected (?!tags)|valid values|valid betas|supported values|supported betas"
    r"|allowed values|one of|must be|should be|did you mean)\b"
    r"|(?<!not )(?<!yet )(?<!longer )\b(?:allowed|accepted|supported|permitted|valid|known)"
    r"(?: ones| flags| headers)?(?: are)?:"
)


# ---- prose, which names no member


def _of_words(words: str, feature: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """All ways to say that what has such a name is missing."""
    return (
        (_pattern(rf"\b{words}\W?(?: feature| beta)?\W? {_NOT}\b"), feature),
        (_pattern(rf"\b{_CANNOT} (?:the )?\W?{words}\W?(?: feature| beta)?(?:[.,;]|$)"), feature),
    )


PROSE: tuple[tuple[re.Pattern[str], str], ...] = (
    (_pattern(rf"\badaptive thinking {_NOT}"), "adaptive_thinking"),
    (_pattern(rf"\bthinking\.type\.adaptive\W{{0,3}} {_NOT}"), "adaptive_thinking"),
    (_pattern(rf"\bthinking\.type\.enabled\W{{0,3}} {_NOT}"), "thinking_budget"),
    (_pattern(rf"\bthinking\.type\.disabled\W{{0,3}} {_NOT}"), "thinking_disabled"),
    (_pattern(rf"\b(?:{_STRANGE}|invalid) role:? \W?system\b"), "system_turns"),
    (_pattern(rf"\brole:? \W?system\W? {_NOT}"), "system_turns"),
    (_pattern(r"\brole must be [^\n]{0,60}(?:got|found|received):? \W?system\b"), "system_turns"),
    *_of_words(r"thinking[. _]display(?: mode)?(?: \W?updates)?", "thinking_display"),
    *_of_words("mid-conversation system (?:messages?|turns?)", "system_turns"),
    *_of_words("tool[ _](?:search|references?)(?: blocks?| tools?)?", "tool_search"),
    *_of_words("context management", "context_management"),
    *_of_words("(?:1m|long|1 million)(?:[ -]token)?[ -]context(?: window)?", "long_context"),
    *_of_words("fast mode", "fast_mode"),
    *_of_words("structured outputs?", "structured_outputs"),
    *_of_words("web search", "web_search"),
    *_of_words("web fetch", "web_fetch"),
    *_of_words("code execution", "code_execution"),
    *_of_words("url sources", "url_sources"),
)
