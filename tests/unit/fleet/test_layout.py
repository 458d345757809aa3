import msgspec

from ccrelay.config.model import Config, Key, Provider
from ccrelay.fleet.layout import Layout

KEYS = [Key(key="test-key-1"), Key(key="test-key-2", enabled=False), Key(key="test-key-3")]
CONFIG = Config(
    providers=[
        Provider(name="many", keys=KEYS),
        Provider(name="none", type="anthropic"),
        Provider(name="off", enabled=False, keys=KEYS[:1]),
    ]
)


def test_each_key_has_a_slot_and_so_has_a_provider_without_keys():
    layout = Layout.of(CONFIG)
    assert layout.targets == {"many": [0, 1, 2], "none": [3], "off": [4]}


def test_each_provider_has_one_slot_as_an_endpoint():
    assert Layout.of(CONFIG).endpoints == {"many": 0, "none": 1, "off": 2}


def test_a_layout_travels_to_workers_unchanged():
    layout = Layout.of(CONFIG)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(layout), type=Layout) == layout
