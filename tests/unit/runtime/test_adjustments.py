import pytest

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config, Key, Logging, Provider
from ccrelay.config.overrides import Override
from ccrelay.runtime.adjustments import Adjustments, describe, judge

ONE, OTHER = fingerprint("test-key-1"), fingerprint("test-key-2")
CONFIG = Config(
    providers=[
        Provider(name="a", type="zai", keys=[Key(key="test-key-1", name="team")]),
        Provider(name="b", type="zai", keys=[Key(key="test-key-2")]),
    ],
    logging=Logging(level="info", format="json"),
)


def override(provider: str, key: str, setting: str, value: int) -> Override:
    return Override(provider, key, setting, value, 1)


A_OFF = override("a", "", "enabled", 0)
B_OFF = override("b", "", "enabled", 0)


def test_nothing_set_changes_nothing():
    assert Adjustments().apply(CONFIG) is CONFIG
    assert Adjustments(log_level="info").apply(CONFIG) is CONFIG


def test_overrides_and_level_are_applied_and_nothing_else():
    changed = Adjustments([A_OFF], "debug").apply(CONFIG)
    assert [provider.enabled for provider in changed.providers] == [False, True]
    assert changed.logging == Logging(level="debug", format="json")
    assert CONFIG.providers[0].enabled


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (override("zaj", "", "enabled", 0), "there is no provider"),
        (override("a", OTHER, "enabled", 0), "has no key"),
        (override("a", ONE, "enabled", 2), "0 or 1"),
        (override("a", ONE, "weight", -1), "0 to 1000"),
        (override("a", ONE, "weight", 1001), "0 to 1000"),
        (override("a", "", "weight", 5), "of a key"),
    ],
)
def test_what_does_not_exist_is_refused_unless_it_is_in_force(wanted, words):
    assert words in judge(CONFIG, [wanted], []).problem
    assert judge(CONFIG, [wanted], [wanted]).problem == ""


def test_names_of_clients_cannot_control_a_terminal():
    problem = judge(CONFIG, [override("\x1b[2J\n", "", "enabled", 0)], []).problem
    assert problem.isprintable()


def test_what_the_check_demands_is_kept():
    assert "at least one must be enabled" in judge(CONFIG, [A_OFF, B_OFF], []).problem
    assert judge(CONFIG, [A_OFF], []).problem == ""
    off = judge(CONFIG, [override("a", ONE, "enabled", 0)], [])
    assert off.problem == ""
    assert off.warnings == [
        "providers[0].keys: all keys are disabled: this provider gets no requests"
    ]


def test_findings_of_the_file_are_not_those_of_an_override():
    config = Config(providers=[Provider(name="a", type="zai", keys=[Key(key="")])])
    assert judge(config, [], []).problem == ""


def test_changes_in_words():
    weight = override("a", ONE, "weight", 3)
    other = override("b", OTHER, "enabled", 1)
    assert describe(CONFIG, [], [A_OFF, weight, other]) == [
        "a disabled",
        "a/team weight 3",
        f"b/{OTHER} enabled",
    ]
    assert describe(CONFIG, [A_OFF, weight], [weight]) == ["a enabled as in the file"]
    assert describe(CONFIG, [weight], [weight]) == []
