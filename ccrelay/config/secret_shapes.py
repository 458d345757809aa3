"""Words that may be keys or tokens in the wrong place, by their shape: messages do not show them.

Random text differs from names: it mixes digits and letters in long runs, changes between upper and
lower case within a word, or has no vowels. A name that is hidden by mistake costs the user a look
at the line, which every message has.
"""

import re

# What API keys of the known services and of others begin with.
_KEY_PREFIX = re.compile(
    r"(?:(?:sk|pk|rk|gsk|hf|xai|nvapi|gh[opsu]|github_pat|glpat|xox[a-z])[-_]|AKIA|ASIA|AIza|eyJ)"
)
_KEY_CHARACTERS_MIN = 20
_DATE = re.compile(r"(?<![0-9])20[0-9]{2}(-?)[0-9]{2}\1[0-9]{2}(?![0-9])")  # of models and betas
_RANDOM_CHARACTERS_MIN = 16  # shorter runs of letters and digits are names
_LETTERS_MAX = 28  # in a row: no word of a name is longer
_CONSONANTS_MAX = 6  # in a row, in a long word
_CONSONANTS = re.compile(r"[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]+")
_SWITCH = re.compile(r"(?<=[a-z])[A-Z]|(?<=[A-Za-z])[0-9]|(?<=[0-9])[A-Za-z]")
_SWITCHES_MIN = 6  # `Qwen3-Coder-480B-A35B` has four
_SWITCH_SHARE = 0.25
_SHORT_MIN = 10  # a piece of base64 between slashes
_SHORT_SWITCH_SHARE = 0.45
_NAMED = re.compile(r".*(?:secret|passw)|(?=.*[0-9]).*(?:key|token)", re.IGNORECASE | re.DOTALL)
_CAPITALS = re.compile(r"[A-Z][A-Z0-9_]*")
_QUOTED = re.compile(r"\(['\"].*\)|'.{4,}'|\".{4,}\"", re.DOTALL)
_NOT_WORD = re.compile(r"[^A-Za-z0-9]+")
# What may be one secret: base64 has + and /, which also part a path.
_RUN = re.compile(r"[A-Za-z0-9_.~+/=-]+")
_WORD = re.compile(r"[A-Za-z0-9_.~-]+")


def is_key(name: str) -> bool:
    """Whether a name can only be a key: `xai-primary` begins as one, and is too short for it."""
    return len(name) >= _KEY_CHARACTERS_MIN and _KEY_PREFIX.match(name) is not None


def is_dubious(name: str) -> bool:
    """Whether a name may be a key or token, and should not be shown."""
    return is_key(name) or _looks_random(name) or name.startswith(("sk-", "sk_"))


def looks_secret(word: str) -> bool:
    """Whether a word may be a key or a token that stands in the wrong place."""
    return (_KEY_PREFIX.match(word) is not None and len(word) > 6) or _looks_random(word)


def _looks_random(word: str) -> bool:
    plain = _DATE.sub("", word)
    parts = _NOT_WORD.split(plain)
    if any(_is_random(part) for part in parts):
        return True
    if _is_mixed(parts):
        return True
    digits = sum(c.isdigit() for c in plain)
    letters = sum(c.isalpha() for c in plain)
    return (
        digits > 0 and digits + letters >= 2 * _RANDOM_CHARACTERS_MIN and digits * 4 >= letters > 0
    )


_SETTINGS = frozenset({"client_secret"})  # a member's name, not its value


def without_secrets(text: str) -> str:
    """Return the text with `...` in place of words that look like secrets."""
    text = _RUN.sub(lambda run: "..." if looks_secret_run(run[0]) else run[0], text)
    return _WORD.sub(lambda word: "..." if _is_hidden(word[0]) else word[0], text)


def looks_secret_run(run: str) -> bool:
    """Whether text with the characters of base64 may be one secret, of which / is a part."""
    run = run.lstrip("/")
    if any(looks_secret(part) for part in run.split("/")):
        return "+" in run or "=" in run  # else one part of a path
    return "//" not in run and looks_secret(run)


def _is_hidden(word: str) -> bool:
    # With few digits it is the name of a file or a variable: `second.key`, `token_2`.
    return looks_secret(word) or (names_secret(word) and sum(map(str.isdigit, word)) >= 4)


def names_secret(word: str) -> bool:
    """Whether a word says itself that it is a secret, as `test-key-1` or `relay_token_7`.

    Settings' own words have no digits, and names of variables are in capitals.
    """
    if word in _SETTINGS:
        return False
    return _NAMED.match(word) is not None and not _CAPITALS.fullmatch(word)


def without_quotes(message: str) -> str:
    """Return a parser's message without what it quotes of the file; single characters stay."""
    return _QUOTED.sub("...", message)


def _is_mixed(parts: list[str]) -> bool:
    size = sum(map(len, parts))
    switches = sum(len(_SWITCH.findall(part)) for part in parts)
    if switches < _SWITCHES_MIN:
        return False
    if size >= _RANDOM_CHARACTERS_MIN:
        return switches >= size * _SWITCH_SHARE
    return size >= _SHORT_MIN and switches >= size * _SHORT_SWITCH_SHARE


def _is_random(part: str) -> bool:
    if len(part) < _RANDOM_CHARACTERS_MIN or part.isdigit():
        return False
    if not part.isalpha() or len(part) > _LETTERS_MAX:
        return True
    longest = max(map(len, _CONSONANTS.findall(part)), default=0)
    return longest > _CONSONANTS_MAX or len(_SWITCH.findall(part)) * 4 >= len(part)
