"""Access to the pages of the documentation, for the tests that compare them with the code."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "ccrelay"
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")),
    *sorted(DOCS.glob("*.md")),
    ROOT / "bench" / "README.md",
    ROOT / "proto" / "README.md",
    ROOT / "tests" / "faults" / "README.md",
    ROOT / "tests" / "parity" / "README.md",
]

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(page: str) -> str:
    return (DOCS / page).read_text()


def fences(*languages: str) -> Iterator[tuple[str, str, str]]:
    """Name, language and text of the fenced blocks in these languages."""
    for page in PAGES:
        for number, match in enumerate(FENCE.finditer(page.read_text())):
            if match[1] in languages:
                yield f"{page.name}-{number}", match[1], match[2]


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def section(text: str, heading: str) -> str:
    """Text under a heading, up to the next heading of its level or above."""
    level = heading.split(" ")[0]
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    following = re.search(rf"^#{{1,{len(level)}}} ", text[start:], re.MULTILINE)
    return text[start : start + following.start()] if following else text[start:]
