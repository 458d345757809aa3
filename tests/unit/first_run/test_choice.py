"""What is chosen gets a name and a preset, or is refused."""

import pytest

from ccrelay.first_run.choice import Choice, KeyStore, SetupProblem, check_key, known_key, settled


def test_each_has_a_name_of_its_own() -> None:
    chosen = [Choice(type="anthropic"), Choice(type="anthropic", key="k"), Choice(type="zai")]
    assert [one.name for one in settled(chosen)] == ["anthropic", "anthropic-2", "zai"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(type="openrouter"), ("compatible", "openrouter", "openrouter", "")),
        (Choice(type="compatible", name="kimi"), ("compatible", "kimi", "kimi", "")),
        (
            Choice(type="compatible", name="mine", settings={"preset": "kimi"}),
            ("compatible", "mine", "kimi", ""),
        ),
        (
            Choice(type="compatible", name="kimi", base_url="https://api.moonshot.ai/anthropic"),
            ("compatible", "kimi", "kimi", ""),
        ),
        (
            Choice(type="compatible", name="kimi", base_url="http://127.0.0.1:9"),
            ("compatible", "kimi", None, "http://127.0.0.1:9"),
        ),
    ],
)
def test_a_preset_is_known_by_type_or_name(choice: Choice, expected: tuple[object, ...]) -> None:
    [one] = settled([choice])
    assert (one.type, one.name, one.settings.get("preset"), one.base_url) == expected


def test_the_model_may_be_a_setting() -> None:
    [one] = settled([Choice(type="ollama", settings={"model": "a:1"})])
    assert one.model == "a:1"
    assert "model" not in one.settings


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(type="nosuch"), "no such type"),
        (Choice(type=""), "no such type"),
        (Choice(type="zai", settings={"headers": "x"}), "no setting"),
        (Choice(type="zai", pass_through=True), "Only a provider of type anthropic"),
        (Choice(type="anthropic", pass_through=True, key="k"), "Only a provider"),
        (Choice(type="zai", key="a b"), "no key"),
        (Choice(type="zai", key='"test-key-1"'), "quotes around it"),
        (Choice(type="zai", key="k", variable="V"), "one of them"),
        (Choice(type="zai", name="../../x", key="k"), "A name has"),
        (Choice(type="zai", name="a\0", key="k"), "A name has"),
        (Choice(type="zai", key="k", store=KeyStore.ENVIRONMENT), "name the variable"),
    ],
)
def test_what_cannot_be_is_refused(choice: Choice, words: str) -> None:
    with pytest.raises(SetupProblem, match=words):
        settled([choice])


@pytest.mark.parametrize(
    "variable", ["cmd:touch x", "file:/x", "keyring:x", "A:-b", "A}B${C", "1A", "test-key-1", "A\n"]
)
def test_a_variable_is_the_name_of_one_and_not_another_reference(variable: str) -> None:
    """`${cmd:...}` would be run by the relay."""
    with pytest.raises(SetupProblem, match="A variable has letters") as caught:
        settled([Choice(type="zai", variable=variable)])
    assert variable not in str(caught.value)


def test_nothing_is_no_choice() -> None:
    with pytest.raises(SetupProblem):
        settled([])


@pytest.mark.parametrize(
    "key", ["a b", "a\nb", "schl\N{LATIN SMALL LETTER U WITH DIAERESIS}", "k" * 20_000]
)
def test_a_key_that_no_header_carries_is_refused_unseen(key: str) -> None:
    with pytest.raises(SetupProblem) as caught:
        check_key(key)
    assert key not in str(caught.value)


def test_a_choice_does_not_show_its_key() -> None:
    assert "canary" not in repr(Choice(type="zai", key="canary"))


def test_what_is_known_of_a_service() -> None:
    [kimi, zai, own] = settled(
        [Choice(type="kimi"), Choice(type="zai"), Choice(type="compatible", base_url="http://h")]
    )
    assert known_key(kimi).name == "kimi"  # type: ignore[union-attr]
    assert known_key(zai).name == "zai"  # type: ignore[union-attr]
    assert known_key(own) is None
