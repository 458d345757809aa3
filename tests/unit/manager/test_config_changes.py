"""What differs between two configurations, without secrets."""

from typing import Any

from ccrelay.manager.config_changes import LINES_MAX, config_changes
from ccrelay.manager.file_values import parse
from tests.unit.manager.worlds import TEXT, configured


def changes(before: str, after: str) -> list[str]:
    def raw(text: str) -> Any:
        return parse(text, is_toml=False).data

    return config_changes(configured(before), raw(before), configured(after), raw(after))


def test_nothing_differs() -> None:
    assert changes(TEXT, TEXT) == []
    assert changes(TEXT, "# a comment\n" + TEXT) == []
    # A default that is written out is none.
    assert changes(TEXT, TEXT.replace("name: login,", "name: login, enabled: true,")) == []


def test_settings_and_providers() -> None:
    after = TEXT.replace("rpm_limit: 10", "rpm_limit: 20").replace("name: login", "name: other")
    after += "routing: {strategy: failover, models: {opus: [one]}}\n"
    assert set(changes(TEXT, after)) == {
        "providers.other: added",
        "providers.login: removed",
        "providers.one.keys.a.rpm_limit: 20 (was 10)",
        "routing.strategy: failover (was simple-shuffle)",
        "routing.models.opus: ['one'] (was not set)",
    }


def test_keys_that_come_and_go_do_not_shift_the_others() -> None:
    after = TEXT.replace(
        "keys: [{key: k-c, name: c}]", "keys: [{key: k-d, name: d}, {key: k-c, name: c}]"
    )
    found = changes(TEXT, after)
    assert "providers.two.keys.d.key: added" in found
    assert not any("keys.c" in line for line in found)


def test_secrets_are_compared_and_not_shown() -> None:
    after = TEXT.replace("k-a", "another-key-1").replace("k-c", '"${NOT_KNOWN_HERE}"')
    assert changes(TEXT, after) == [
        "providers.one.keys.a.key: changed",
        "providers.two.keys.c.key: changed",
    ]
    assert changes(after, after.replace("k-b", "k-x")) == ["providers.one.keys.1.key: changed"]
    text = TEXT.replace("name: login,", 'name: login, headers: {x-a: "one-secret"},')
    assert changes(TEXT, text)[0] == "providers.login.headers.x-a: added"
    assert "one-secret" not in str(changes(TEXT, text))


def test_many_changes_are_cut() -> None:
    many = ", ".join(f"m{number}: [one]" for number in range(LINES_MAX + 50))
    found = changes(TEXT, TEXT + "routing: {models: {" + many + "}}\n")
    assert len(found) == LINES_MAX + 1
    assert found[-1].startswith("and ")
