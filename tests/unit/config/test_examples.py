"""The examples in messages are valid, in both formats."""

import tomllib
from typing import Any

import pytest

from ccrelay.config.examples import EXAMPLES, example
from ccrelay.config.validate import validate
from ccrelay.config.yaml_marks import parse_yaml

PLACES: dict[str, tuple[str | int, ...]] = {
    "providers": (),
    "tokens": ("server", "auth"),
    "allowed_hosts": ("server",),
    "allowed_origins": ("server",),
    "rules": ("routing",),
    "request_class": ("routing", "rules", 0, "when"),
}


def placed(name: str, members: Any) -> Any:
    if name in PLACES:
        for part in reversed(PLACES[name]):
            members = [members] if isinstance(part, int) else {part: members}
        return members
    return {"providers": [{"name": "p", **members}]}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("is_toml", [False, True])
def test_each_example_is_valid_where_it_is_shown(name: str, is_toml: bool) -> None:
    text = example(name, is_toml=is_toml)
    assert text is not None
    data = tomllib.loads(text) if is_toml else parse_yaml(text).data
    assert list(data) == [name]
    assert validate(placed(name, data)).problems == []


def test_other_settings_have_no_example() -> None:
    assert example("logging", is_toml=False) is None
