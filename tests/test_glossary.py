"""Every public class of the product is a word of `docs/glossary.md`.

A failure names the class and the row to add or change.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tests.pages import PACKAGE, rows, text_of

# Classes without a row, by folder.
NO_ROW_FOLDERS = {
    "cli": "draws what other folders compute",
    "config": "reads one file; its settings are in docs/configuration.md",
    "demo": "a test upstream with words of its own: docs/mock.md",
}
# Classes without a row, by base class (also an indirect one).
NO_ROW_BASES = {
    "Exception": "named after the failure; the texts are in docs/errors.md",
    "Protocol": "states what a caller needs of a class that has a row itself",
}
# Classes without a row, by keyword of the class line.
NO_ROW_KEYWORDS = {"tag": "a message of the control channel, named after what it asks or reports"}


class Public(NamedTuple):
    """A public class: its name and the file that defines it."""

    name: str
    file: str


@cache
def public_classes() -> frozenset[Public]:
    """Every public class that needs a row."""
    found = set()
    defined = list(classes_in_python())
    bases = {node.name: {base_name(base) for base in node.bases} for _, node in defined}
    for file, node in defined:
        keywords = {word.arg for word in node.keywords}
        if node.name.startswith("_") or keywords & NO_ROW_KEYWORDS.keys():
            continue
        if not ancestors(node.name, bases) & NO_ROW_BASES.keys():
            found.add(Public(node.name, file))
    for path in (PACKAGE / "_fast").glob("*.pxd"):
        for name in re.findall(r"^cdef class ([A-Z]\w*)", path.read_text(), re.MULTILINE):
            found.add(Public(name, f"_fast/{path.name}"))
    return frozenset(found)


def classes_in_python() -> Iterator[tuple[str, ast.ClassDef]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE)
        if file.parts[0] not in NO_ROW_FOLDERS:
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    yield str(file), node


def base_name(node: ast.expr) -> str:
    return ast.unparse(node).partition("[")[0].rpartition(".")[2]


def ancestors(name: str, bases: dict[str, set[str]]) -> set[str]:
    direct = bases.get(name, set())
    return direct.union(*(ancestors(base, bases) for base in direct))


def words_of(name: str) -> list[str]:
    """`KeyPool` -> key, pool."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", name)]


def terms() -> list[str]:
    """The terms that the glossary defines, in lower case."""
    cells = (row.split("|")[1] for row in rows(text_of("glossary.md")))
    return [term.lower() for cell in cells for term in re.findall(r"\*\*([^*]+)\*\*", cell)]


def named_in_code() -> set[str]:
    """The classes of the column "in code"."""
    cells = (row.split("|")[2] for row in rows(text_of("glossary.md")))
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_public_class_is_a_word_of_the_glossary() -> None:
    assert len(public_classes()) > 80
    defined, named = set(terms()), named_in_code()
    missing = []
    for name, file in sorted(public_classes()):
        words = words_of(name)
        # TargetLimits may be defined as "target limits", "target limit", "limits" or "limit".
        readings = {" ".join(words), words[-1]}
        readings |= {reading.removesuffix("s") for reading in readings}
        if name not in named and not readings & defined:
            row = f"| **{' '.join(words)}** | `{name}` | what it is |"
            missing.append(f"{name} (ccrelay/{file}): `{name}` in the row of its term, or {row}")
    assert not missing, 'docs/glossary.md, column "in code", lacks\n' + "\n".join(missing)


def test_the_glossary_names_no_class_that_is_gone() -> None:
    gone = sorted(named_in_code() - {name for name, _ in public_classes()})
    assert not gone, f'docs/glossary.md, column "in code": remove or rename {gone}'


def test_a_term_is_defined_once() -> None:
    found = terms()
    twice = sorted({term for term in found if found.count(term) > 1})
    assert not twice, f"docs/glossary.md: more than one row defines {twice}"
