"""What is mended of a cloud's request: once per target, and three features at most."""

from ccrelay.relay.remedies import Remedies
from tests.unit.relay.fakes import keys, provider_state


def test_each_target_is_refreshed_and_set_once() -> None:
    one, two = provider_state(keys=keys("a", "b")).targets
    remedies = Remedies()
    assert [remedies.may_refresh(one), remedies.may_refresh(one)] == [True, False]
    assert remedies.may_refresh(two)
    assert [remedies.may_set_clock(one), remedies.may_set_clock(one)] == [True, False]
    assert remedies.may_set_clock(two)


def test_three_features_are_dropped_over_all_providers() -> None:
    remedies = Remedies()
    assert remedies.drop("one", "m", ("a", "b", "a")) == ("a", "b")
    assert remedies.drop("two", "m", ("a", "b")) == ("a",)
    assert remedies.drop("three", "m", ("c",)) == ()
    assert remedies.count == 3
    assert remedies.dropped("one", "m") == {"a", "b"}
    assert remedies.dropped("two", "m") == {"a"}
    assert remedies.dropped("two", "other") == frozenset()


def test_what_is_dropped_already_is_no_news() -> None:
    remedies = Remedies()
    assert remedies.drop("one", "m", ("a",)) == ("a",)
    assert remedies.drop("one", "m", ("a",)) == ()
    assert remedies.drop("one", "m", ("a", "b")) == ("b",)
    assert remedies.count == 2


def test_a_guess_is_kept_if_the_provider_it_was_made_for_answers() -> None:
    remedies = Remedies()
    remedies.guessed("one", "m", ("a", "b"))
    assert remedies.helped("two") == []  # the request failed at one, and went on
    remedies.guessed("one", "m", ("c",))
    assert remedies.helped("one") == [("one", "m", "c")]
    assert remedies.helped("one") == []
