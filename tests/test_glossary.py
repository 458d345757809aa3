"""Terms are defined once in `docs/glossary.md`, and classes say what they are in a docstring.

A class needs no row: a table of hundreds of classes says again what stands at each class.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from tests.pages import DOCS, PACKAGE, rows, text_of

# Folders whose classes are not looked at, and why.
GENERATED = {"v1": "the words are those of proto/ccrelay/v1"}


class Public(NamedTuple):
    """A public class: where it is defined, its name and its docstring."""

    file: str
    name: str
    doc: str


def public_classes() -> Iterator[Public]:
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE)
        if file.parts[0] in GENERATED:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield Public(str(file), node.name, ast.get_docstring(node) or "")
    for header in sorted((PACKAGE / "_fast").glob("*.pxd")):
        text = header.read_text()
        source = header.with_suffix(".pyx")
        both = text + (source.read_text() if source.exists() else "")
        for name in re.findall(r"^cdef class ([A-Z]\w*)", text, re.MULTILINE):
            # A docstring in the implementation, or a comment in the header.
            said = re.findall(rf'^cdef class {name}\b[^\n]*:\n\s+(?:"""|# )(.+)', both, re.M)
            yield Public(f"_fast/{header.name}", name, " ".join(said))


CLASSES = list(public_classes())
TERMS = [
    term.lower()
    for row in rows(text_of("glossary.md"))
    for term in re.findall(r"\*\*([^*]+)\*\*", row.split("|")[1])
]


def test_the_sources_were_found() -> None:
    assert len(CLASSES) > 300
    assert len(TERMS) > 80


def test_every_public_class_says_what_it_is() -> None:
    missing = [f"ccrelay/{c.file}: {c.name}" for c in CLASSES if not c.doc.strip()]
    assert not missing, "add docstrings to\n" + "\n".join(missing)


def test_a_term_is_defined_once() -> None:
    twice = sorted({term for term in TERMS if TERMS.count(term) > 1})
    assert not twice, f"docs/glossary.md: more than one row defines {twice}"


def test_every_row_of_the_glossary_has_a_term_and_its_meaning() -> None:
    for row in rows(text_of("glossary.md"))[2:]:
        _, term, meaning, _ = row.split("|")
        assert "**" in term, row
        assert len(meaning.split()) > 1, row


@cache
def everything() -> str:
    """All pages but the glossary, and all sources, in lower case."""
    pages = [page for page in DOCS.glob("*.md") if page.name != "glossary.md"]
    sources = [path for kind in ("py", "pyx", "pxd") for path in PACKAGE.rglob(f"*.{kind}")]
    text = " ".join(path.read_text() for path in (*pages, *sources))
    return re.sub(r"[\s#_]+", " ", text).lower()


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_the_glossary_is_in_use(term: str) -> None:
    used = term in everything() or term.replace(" ", "") in everything()  # KeyPool
    assert used, f"docs/glossary.md: remove {term!r}, or use it"
