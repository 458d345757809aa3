import re

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
