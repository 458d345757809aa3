import re

from ccrelay.providers.bridge_features import BY_BETA, BY_NAME, BY_PART, FEATURES

PART = re.compile(
    r"member:\w+(?:\.\w+|=\w+)?|turn:\w+(?:=\w+)?|block:\w+|source:\w+|tool:\w+|tool-name:\w+"
    r"|tool-member:\w+|cache:\w+|edit:\w+"
)


def test_names_betas_and_parts_belong_to_one_feature() -> None:
    assert len(BY_NAME) == len(FEATURES)
    assert len(BY_BETA) == sum(len(feature.betas) for feature in FEATURES)
    assert len(BY_PART) == sum(len(feature.parts) for feature in FEATURES)


def test_names_fit_into_the_shared_memory_and_differ_from_what_has_no_feature() -> None:
    for feature in FEATURES:
        assert re.fullmatch(r"[a-z][a-z0-9_]{2,55}", feature.name)
        assert feature.betas or feature.parts


def test_parts_are_written_as_said() -> None:
    assert [part for part in BY_PART if not PART.fullmatch(part)] == []
    assert [b for b in BY_BETA if not re.fullmatch(r"[a-z0-9-]+-20\d\d-?\d\d-?\d\d", b)] == []
