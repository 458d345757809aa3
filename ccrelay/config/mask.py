"""The text of a configuration file as it may be shown: secrets that stand in it are masked.

A mask is unique for its secret, so that a text that was shown, edited and sent back gets its
secrets again.

Pure.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.placeholders import is_secret
from ccrelay.config.problems import Path
from ccrelay.config.secret_shapes import looks_secret, looks_secret_run
from ccrelay.config.show import shown_url
from ccrelay.config.toml_marks import STRING, parse_toml
from ccrelay.config.yaml_marks import NODES_MAX
from ccrelay.config.yaml_tree import Node, yaml_tree

_MASK = re.compile(r"<masked hmac:[0-9a-f]{8}(?:-[0-9]+)?>")
_QUOTED_MASK = re.compile(f'"{_MASK.pattern}"|{_MASK.pattern}')
_REFERENCE = re.compile(r"\$\{(?!cmd:)[^{}\n]*\}")
# As in `secret_shapes`: what may be one secret, and single words.
_RUN = re.compile(r"[A-Za-z0-9_.~+/=-]{7,}")
_WORD = re.compile(r"[A-Za-z0-9_.~-]{7,}")
_NAMES = frozenset(
    {"key", "token", "api_key", "x-api-key", "authorization", "password", "client_secret"}
)
DEPTH_MAX = 8  # no secret stands deeper
# Where a text cannot be parsed: what stands behind such a name on its line.
_NAMED = re.compile(
    r"""(?im)^([^\n#]*?\b["']?(?:key|tokens?|authorization|x-api-key|password|client_secret)["']?\s*[:=]\s*)"""
    r"""(\S[^\n]*)"""
)


class Masked(NamedTuple):
    """A text that may be shown, and what its masks stand for."""

    text: str
    secrets: dict[str, str]


def masked(text: str, *, is_toml: bool) -> Masked:
    """Mask every literal secret of a text: at the places of secrets, and what looks like one."""
    secrets: dict[str, str] = {}

    def mask(literal: str) -> str:
        name = f"<masked {fingerprint(literal)}>"
        number = 2
        while secrets.setdefault(name, literal) != literal:
            name = f"<masked {fingerprint(literal)}-{number}>"
            number += 1
        return name

    pieces = []
    at = 0
    for start, end, is_bare in sorted(_spans(text, is_toml=is_toml)):
        if start < at:
            continue
        pieces += [_by_shape(text[at:start], mask), mask(text[start:end])]
        if is_bare:  # a block of several lines becomes a quoted text
            shown = pieces.pop()
            literal = secrets.pop(shown)
            secrets[f'"{shown}"'] = literal
            pieces.append(f'"{shown}"')
        at = end
    pieces.append(_by_shape(text[at:], mask))
    return Masked("".join(pieces), secrets)


def unmasked(text: str, secrets: dict[str, str]) -> str:
    """Put the secrets back.

    Args:
        text: with masks.
        secrets: what they stand for, of the text that was shown.

    Raises:
        ValueError: a mask stands for nothing that is known; the message has its line.
    """

    def literal(found: re.Match[str]) -> str:
        if found[0] in secrets:
            return secrets[found[0]]
        inner = found[0].strip('"')
        if inner in secrets:
            return found[0].replace(inner, secrets[inner])
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(
            f"line {line} has the mask of a secret that is not in the file: write ${{VAR}}, or the "
            "secret itself"
        )

    return _QUOTED_MASK.sub(literal, text)


def _by_shape(text: str, mask: Callable[[str], str]) -> str:
    """Mask words that look like secrets, outside of references."""
    pieces = []
    at = 0
    for found in _REFERENCE.finditer(text):
        pieces += [_words(text[at : found.start()], mask), found[0]]
        at = found.end()
    pieces.append(_words(text[at:], mask))
    return "".join(pieces)


def _words(text: str, mask: Callable[[str], str]) -> str:
    def run(found: re.Match[str]) -> str:
        if looks_secret_run(found[0]):
            return mask(found[0])
        return _WORD.sub(lambda w: mask(w[0]) if looks_secret(w[0]) else w[0], found[0])

    return _RUN.sub(run, text)


# ---- the places of secrets


def _spans(text: str, *, is_toml: bool) -> Iterator[tuple[int, int, bool]]:
    """Start and end of what is written of each secret; whether quotes have to be put around."""
    found = _spans_in_toml(text) if is_toml else _spans_in_yaml(text)
    if found is None:
        for line in _NAMED.finditer(text):
            if "${" not in line[2]:
                yield line.start(2), line.end(2), False
        return
    yield from found


def _is_hidden(path: Path, value: object) -> bool:
    if not isinstance(value, str) or not value or "${" in value:
        return False
    match path:
        case ("providers", _, "base_url"):
            return shown_url(value) != value
        case ("routing", "rules", _, "when", "headers", _):
            return value != "*"
        case (*_, "tokens", int()):
            return True
        case (*_, str() as name):
            # Also where the file is not valid, and a key stands at no place of one.
            return is_secret(path) or name.lower() in _NAMES
        case _:
            return is_secret(path)


def _spans_in_yaml(text: str) -> list[tuple[int, int, bool]] | None:
    bom = len(text) - len(text.removeprefix("\ufeff"))
    try:
        root = yaml_tree(text[bom:])
    except (ValueError, LookupError):
        return None
    found: dict[int, tuple[int, int, bool]] = {}
    for seen, (path, node) in enumerate(_nodes(root, ())):
        if seen > NODES_MAX:  # aliases of aliases ("billion laughs")
            return None
        if node.kind == "scalar" and _is_hidden(path, node.text):
            start, end = _inner(text[bom:], node)
            found[start] = (bom + start, bom + end, node.is_block_text)
    return list(found.values())


def _nodes(node: Node, path: Path) -> Iterator[tuple[Path, Node]]:
    """All nodes with their places; only as deep as there are settings."""
    node = node.resolved()
    if len(path) > DEPTH_MAX:
        return
    yield path, node
    if node.kind == "sequence":
        for index, item in enumerate(node.items):
            yield from _nodes(item, (*path, index))
    elif node.kind == "mapping":
        for key, value in node.members():
            if key.text == "<<":
                merged = value.resolved()
                for part in merged.items if merged.kind == "sequence" else [merged]:
                    yield from _nodes(part, path)
            yield from _nodes(value, (*path, key.text))


def _inner(text: str, node: Node) -> tuple[int, int]:
    """A scalar without its anchor and its quotes."""
    start, end = node.start, node.end
    while text[start : start + 1] in ("&", "!"):
        found = re.compile(r"\S*[ \t]*").match(text, start)
        start = found.end() if found else end
    if node.is_block_text:
        return start, start + len(text[start:end].rstrip())
    if text[start : start + 1] in ("'", '"'):
        return start + 1, end - 1
    return start, end


def _spans_in_toml(text: str) -> list[tuple[int, int, bool]] | None:
    document = parse_toml(text)
    if document.data is None:
        return None
    starts = [0]
    for found in re.finditer("\n", text):
        starts.append(found.end())
    spans = []
    for path, mark in document.marks.values.items():
        value = _at(document.data, path)
        start = starts[mark.line - 1] + mark.column - 1
        string = STRING.match(text, start)
        if string is not None and _is_hidden(path, value):
            quotes = 3 if string[0][:3] in ('"""', "'''") else 1
            spans.append((start + quotes, string.end() - quotes, False))
    return spans


def _at(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data
