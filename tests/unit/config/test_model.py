import msgspec
from msgspec import inspect

from ccrelay.config.model import (
    Auth,
    Config,
    Key,
    Price,
    Provider,
    Routing,
    Rule,
    Server,
    Use,
    When,
)


def _sections(kind: inspect.Type) -> list[inspect.StructType]:
    if isinstance(kind, inspect.Metadata):
        return _sections(kind.type)
    if isinstance(kind, inspect.StructType):
        return [kind] + [s for field in kind.fields for s in _sections(field.type)]
    if isinstance(kind, inspect.ListType):
        return _sections(kind.item_type)
    if isinstance(kind, inspect.DictType):
        return _sections(kind.value_type)
    if isinstance(kind, inspect.UnionType):
        return [s for option in kind.types for s in _sections(option)]
    return []


def test_every_field_has_a_description():
    for section in _sections(inspect.type_info(Config)):
        for field in section.fields:
            assert isinstance(field.type, inspect.Metadata), field.encode_name
            assert field.type.extra_json_schema["description"].strip(), field.encode_name


def test_every_number_has_bounds_within_64_bits():
    def numbers(kind):
        if isinstance(kind, inspect.Metadata):
            return numbers(kind.type)
        if isinstance(kind, inspect.UnionType):
            return [n for option in kind.types for n in numbers(option)]
        return [kind] if isinstance(kind, inspect.IntType | inspect.FloatType) else []

    found = 0
    for section in _sections(inspect.type_info(Config)):
        for field in section.fields:
            for number in numbers(field.type):
                found += 1
                assert number.ge is not None or number.gt is not None
                assert number.le is not None
    assert found > 20


def test_no_secret_appears_in_a_repr():
    config = Config(
        server=Server(auth=Auth(tokens=["canary-token"])),
        providers=[
            Provider(
                name="p",
                keys=[Key(key="canary-key")],
                headers={"x-secret": "canary-header"},
                base_url="https://canary-url.example",
            )
        ],
    )
    assert "canary" not in repr(config)


def test_a_configuration_survives_msgpack():
    provider = Provider(
        name="p",
        keys=[Key(key="test-key-1", weight=3)],
        prices={"m": Price(input=1, output=2, cache_read=0.0)},
    )
    rules = [Rule(when=When(images=False, headers={"x-a": "*"}), use=Use(providers=["p"]))]
    config = Config(providers=[provider], routing=Routing(rules=rules, models={"m": ["p"]}))
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config
