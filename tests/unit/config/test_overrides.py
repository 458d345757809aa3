from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config, Key, Provider
from ccrelay.config.overrides import Override, apply_overrides

ONE, OTHER = fingerprint("test-key-1"), fingerprint("test-key-2")
CONFIG = Config(
    providers=[
        Provider(name="a", keys=[Key(key="test-key-1"), Key(key="test-key-2", weight=2)]),
        Provider(name="b", keys=[Key(key="test-key-1")]),
    ]
)


def applied(*overrides: tuple[str, str, str, int]) -> Config:
    return apply_overrides(CONFIG, [Override(*one, set_at_ms=1) for one in overrides])


def test_none_changes_nothing():
    assert applied() is CONFIG


def test_a_provider_is_disabled_and_its_keys_are_not():
    a, b = applied(("a", "", "enabled", 0)).providers
    assert (a.enabled, b.enabled) == (False, True)
    assert a.keys == CONFIG.providers[0].keys


def test_a_key_is_that_of_its_provider_only():
    a, b = applied(("a", ONE, "enabled", 0), ("a", OTHER, "weight", 7)).providers
    assert [(key.enabled, key.weight) for key in a.keys] == [(False, 1), (True, 7)]
    assert b == CONFIG.providers[1]


def test_the_last_one_wins():
    (a, _) = applied(("a", "", "enabled", 0), ("a", "", "enabled", 1)).providers
    assert a.enabled
    (a, _) = applied(("a", ONE, "weight", 3), ("a", ONE, "weight", 4)).providers
    assert a.keys[0].weight == 4


def test_what_is_gone_is_ignored():
    assert applied(("c", "", "enabled", 0), ("b", OTHER, "enabled", 0)) == CONFIG


def test_the_configuration_of_the_file_stays_as_it_is():
    applied(("a", "", "enabled", 0), ("a", ONE, "weight", 9))
    assert CONFIG.providers[0].enabled
    assert CONFIG.providers[0].keys[0].weight == 1
