import jsonschema
import pytest
import yaml

from ccrelay.config.reference import EXAMPLE
from ccrelay.config.schema import schema


def errors(data: object) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema())
    return [error.message for error in validator.iter_errors(data)]


def test_the_schema_is_valid():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_example_is_valid():
    assert errors(yaml.safe_load(EXAMPLE)) == []


def test_an_empty_section_is_valid():
    assert errors({"logging": None}) == []
    assert errors({"routing": {"affinity": None, "rules": [{"when": None, "use": None}]}}) == []


@pytest.mark.parametrize(
    "data",
    [
        {"sever": {}},
        {"server": {"workers": "four"}},
        {"server": {"workers": 0}},
        {"providers": [{}]},
        {"providers": [{"name": "p", "type": "antropic"}]},
        {"providers": [{"name": "p", "keys": [{"kye": "x"}]}]},
        {"providers": [{"name": "p", "prices": {"m": {"input": 1}}}]},
        {"routing": {"models": {"m": "p"}}},
        {"routing": {"rules": [{"when": {"model": "m"}}]}},
        {"routing": {"rules": [{"use": {"strategy": "cheapest"}}]}},
        {"routing": {"rules": [{"when": {"request_class": ["mian"]}}]}},
    ],
)
def test_invalid_configurations_fail_the_schema(data):
    assert errors(data)


def test_every_member_and_section_is_described():
    described = schema()
    for name, section in [("", described), *described["$defs"].items()]:
        assert section["description"], name
        assert section["additionalProperties"] is False
        for member, definition in section["properties"].items():
            assert definition.get("description"), f"{name}.{member}"
