"""The list of overrides as it is changed and shown."""

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.overrides import Override
from ccrelay.manager.file_values import FileTextValues
from ccrelay.manager.overrides import chosen, key_index, message, override_id, with_override
from tests.unit.manager.worlds import TEXT, configured

CONFIG = configured()
KEY_A, KEY_B = fingerprint("k-a"), fingerprint("k-b")


def override(value: int = 0, **values: object) -> Override:
    given = {"provider": "one", "key": "", "setting": "enabled", "set_at_ms": 5, **values}
    return Override(value=value, **given)  # type: ignore[arg-type]


def test_one_setting_has_one_override() -> None:
    first, other = override(), override(key=KEY_A, setting="weight", value=3)
    overrides = with_override([first, other], override(1, set_at_ms=9), 0)
    assert overrides == [other, override(1, set_at_ms=9)]
    assert with_override(overrides, override(1), 1) == [other]
    assert with_override([], override(1), None) == [override(1)]
    assert with_override([], override(1), "${ON}") == [override(1)]


def test_ids_have_the_name_where_there_is_one() -> None:
    assert override_id(CONFIG, override()) == "one.enabled"
    assert override_id(CONFIG, override(key=KEY_A, setting="weight")) == "one/a.weight"
    assert override_id(CONFIG, override(key=KEY_B)) == f"one/{KEY_B}.enabled"
    assert override_id(CONFIG, override(key="hmac:gone")) == "one/hmac:gone.enabled"


def test_keys_are_found_by_fingerprint() -> None:
    assert key_index(CONFIG, override(key=KEY_B)) == 1
    assert key_index(CONFIG, override(key="hmac:gone")) is None
    assert key_index(CONFIG, override(provider="gone", key=KEY_B)) is None


def test_what_clients_see() -> None:
    values = FileTextValues(TEXT.replace("enabled: false}", 'enabled: "${B_ON}"}'), is_toml=False)
    shown = message(CONFIG, override(), values)
    assert (shown.id, shown.value, shown.file_value, shown.set_at_ms) == (
        "one.enabled",
        "false",
        "true",
        5,
    )
    assert message(CONFIG, override(key=KEY_B), values).file_value == "${B_ON}"
    assert message(CONFIG, override(9, key=KEY_A, setting="weight"), values).file_value == "1"
    gone = message(CONFIG, override(key="hmac:gone"), values)
    assert (gone.value, gone.file_value) == ("false", "")


def test_ids_choose_by_name_and_by_fingerprint() -> None:
    overrides = [override(), override(key=KEY_A), override(key=KEY_A, setting="weight")]
    assert chosen(CONFIG, overrides, []) == (overrides, [])
    ids = ["one/a.weight", f"one/{KEY_A}.enabled", "nope"]
    assert chosen(CONFIG, overrides, ids) == (overrides[1:], ["nope"])
