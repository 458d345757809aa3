import re
import time

import pytest

from ccrelay.providers import bridge_wording as wording
from ccrelay.providers.bridge_features import BY_NAME


def test_prose_stands_for_features_of_the_table() -> None:
    assert {feature for _, feature in wording.PROSE} <= set(BY_NAME)


@pytest.mark.parametrize(
    ("pattern", "text", "groups"),
    [
        (wording.EXTRANEOUS, "#/tools/0: extraneous key [a] is not permitted", ("/tools/0", "a")),
        (wording.UNKNOWN_NAME, "Unknown name \"a\" at 'b[0]': Cannot find field.", ("a", "b[0]")),
        (wording.VALUE, "a.0.b: Input should be 'c'", ("a.0.b", "'c'")),
        (wording.TAG, "a.0: Unexpected value 'c'", ("a.0", None, "c")),
    ],
)
def test_groups(pattern: re.Pattern[str], text: str, groups: tuple[str | None, ...]) -> None:
    found = pattern.search(text)
    assert found is not None
    assert found.groups() == groups


@pytest.mark.parametrize(
    ("text", "is_about_betas"),
    [
        ("invalid beta flag", True),
        ("Unknown anthropic_beta: x", True),
        ("the beta x isn't enabled", True),
        ("beta x: hello", False),
        ("alphabetical order is not supported", False),
    ],
)
def test_errors_about_betas(text: str, is_about_betas: bool) -> None:
    assert (wording.OF_BETAS.search(text) is not None) is is_about_betas


PIECES = (
    *("a", "_", "a_", "a-", "a.", "a[0].", "]", "a ", "a, ", "a and ", "`a`, ", "'a' & ", "a: "),
    *("unknown ", "unsupported value ", "is not ", "does not support a, ", "beta not ", "must be "),
    *("invalid beta ", "extra inputs ", "tool types: a, ", "unexpected parameter a"),
)
PATTERNS = [
    one
    for name, found in sorted(vars(wording).items())
    if not name.startswith("_")
    for entry in (found if isinstance(found, tuple) else (found,))
    for one in (entry if isinstance(entry, tuple) else (entry,))
    if isinstance(one, re.Pattern)
]


def test_no_text_of_a_provider_keeps_a_pattern_busy() -> None:
    """What may be read in two ways, again and again, would keep the worker for ever."""
    assert len(PATTERNS) > 30
    began_at = time.thread_time()
    texts = [(piece * 4096)[:4096] for piece in PIECES]
    for pattern in PATTERNS:
        for text in texts:
            pattern.search(text)
    mean_s = (time.thread_time() - began_at) / len(PATTERNS) / len(texts)
    assert mean_s < 0.02  # some 0.3 ms; with a pattern of that kind it ends with the suite's limit
