"""The page on the ledger shows filters that can be read, and every field."""

import re

from ccrelay.store.filters import FIELDS, parse
from tests.pages import section, text_of


def shown() -> str:
    return section(text_of("costs.md"), "## Filters")


def test_every_filter_of_the_page_can_be_read() -> None:
    words = [word for word in re.findall(r"`([^`]+)`", shown()) if re.search(r"\w[:=<>]", word)]
    assert len(words) > 20
    for word in words:
        parse(word)


def test_every_field_is_on_the_page() -> None:
    assert [field for field in FIELDS if not re.search(rf"`{field}\b", shown())] == []
