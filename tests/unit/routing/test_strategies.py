"""What each strategy answers; what all of them keep to is a property test."""

import random
from collections import Counter
from typing import Any

import pytest

from ccrelay.config.model import Routing, StrategyName
from ccrelay.routing.strategies import (
    REMEMBERED_MODELS_MAX,
    CostBased,
    Failover,
    LatencyBased,
    LeastBusy,
    ModelBased,
    RoundRobin,
    SimpleShuffle,
    entry_for,
    expected_cost,
    strategy_for,
)
from ccrelay.types import OutputClass
from tests.unit.routing.strategy_fakes import NOW, ask, binding, candidate

NAMES: tuple[StrategyName, ...] = StrategyName.__args__  # type: ignore[attr-defined]


def draws(chooser: Any, available: list[Any], count: int, **facts: Any) -> Counter[str]:
    """How often each name is chosen; the same chance in every run."""
    rng = random.Random(7)
    what = ask(**facts)
    return Counter(chooser.choose(available, what, rng).provider.name for _ in range(count))


# ---- all of them


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_that_can_be_configured_is_built(name: StrategyName) -> None:
    assert strategy_for(Routing(strategy=name)).name == name
    assert strategy_for(Routing(), name).name == name


def test_only_the_strategy_that_counts_money_weighs_the_cache_itself() -> None:
    weighing = [name for name in NAMES if strategy_for(Routing(), name).weighs_cache]
    assert weighing == ["cost-based"]


@pytest.mark.parametrize("name", NAMES)
def test_a_lone_candidate_is_chosen_without_weighing(name: StrategyName) -> None:
    unreadable: Any = object()
    chooser = strategy_for(Routing(), name)
    if name == "failover":
        unreadable = candidate("a")
    if name == "model-based":
        unreadable = candidate("a", asked="anything")
    assert chooser.choose([unreadable], ask(), random.Random(1)) is unreadable


# ---- simple-shuffle


def test_shuffle_chooses_by_weight_times_room() -> None:
    available = [candidate("a", 1, room=1.0), candidate("b", 4, room=0.5), candidate("c", 0)]
    chosen = draws(SimpleShuffle(), available, 6000)
    assert chosen["c"] == 0
    assert chosen["b"] / chosen["a"] == pytest.approx(2.0, rel=0.1)


def test_shuffle_without_room_chooses_by_weight() -> None:
    available = [candidate("a", 1, room=0.0), candidate("b", 3, room=0.0)]
    chosen = draws(SimpleShuffle(), available, 4000)
    assert chosen["b"] / chosen["a"] == pytest.approx(3.0, rel=0.15)


def test_a_shuffle_of_weights_that_are_all_zero_shares_alike() -> None:
    chosen = draws(SimpleShuffle(), [candidate(name, 0) for name in "abc"], 3000)
    assert min(chosen[name] for name in "abc") > 850


def test_a_conversation_gets_the_same_candidate_whatever_chance_order_and_room() -> None:
    for conversation in range(1, 60):
        available = [candidate("a", 1), candidate("b", 2), candidate("c", 3)]
        first = SimpleShuffle().choose(available, ask(conversation=conversation), random.Random(1))
        first.provider.key_pool.room = 0.01
        again = SimpleShuffle().choose(
            available[::-1], ask(conversation=conversation), random.Random(2)
        )
        assert again is first


def test_conversations_share_by_weight_and_a_weight_of_zero_gets_none() -> None:
    available = [candidate("a", 1), candidate("b", 3), candidate("c", 0)]
    rng = random.Random(3)
    chosen = Counter(
        SimpleShuffle()
        .choose(available, ask(conversation=rng.getrandbits(63) | 1), rng)
        .provider.name
        for _ in range(4000)
    )
    assert chosen["c"] == 0
    assert chosen["b"] / chosen["a"] == pytest.approx(3.0, rel=0.15)


def test_conversations_are_spread_when_all_weights_are_zero() -> None:
    available = [candidate(name, 0) for name in "abc"]
    rng = random.Random(3)
    chosen = Counter(
        SimpleShuffle()
        .choose(available, ask(conversation=rng.getrandbits(63) | 1), rng)
        .provider.name
        for _ in range(1500)
    )
    assert min(chosen[name] for name in "abc") > 400


def test_a_provider_that_goes_moves_its_own_conversations_only() -> None:
    available = [candidate("a"), candidate("b"), candidate("c")]
    rng = random.Random(3)
    moved = Counter[str]()
    for conversation in range(1, 400):
        before = SimpleShuffle().choose(available, ask(conversation=conversation), rng)
        after = SimpleShuffle().choose(available[:2], ask(conversation=conversation), rng)
        if before is not available[2]:
            assert after is before
        else:
            moved[after.provider.name] += 1
    assert min(moved["a"], moved["b"]) > 30


# ---- round-robin


def turns(available: list[Any], count: int) -> str:
    rng = random.Random(1)
    chooser = RoundRobin()
    return "".join(chooser.choose(available, ask(), rng).provider.name for _ in range(count))


def test_a_heavy_provider_is_spread_over_the_round() -> None:
    available = [candidate("a", 5), candidate("b", 1), candidate("c", 1)]
    assert turns(available, 14) == "aabacaa" * 2


def test_equal_weights_take_turns_in_configured_order() -> None:
    assert turns([candidate(name) for name in "abc"], 7) == "abcabca"


def test_weights_that_are_all_zero_take_turns_too() -> None:
    assert turns([candidate(name, 0) for name in "abc"], 6) == "abcabc"


def test_a_weight_of_zero_has_no_turn_while_others_weigh_something() -> None:
    assert set(turns([candidate("a", 0), candidate("b", 1), candidate("c", 2)], 30)) == {"b", "c"}


def test_a_candidate_that_returns_gets_at_most_one_extra_round() -> None:
    available = [candidate(name) for name in "abc"]
    turns(available[:2], 1000)
    assert turns(available, 30).count("c") <= 12
    assert turns(available, 30).count("c") == 10


def test_two_choosers_of_one_process_share_the_turns() -> None:
    available = [candidate(name) for name in "ab"]
    assert turns(available, 1) + turns(available, 1) + turns(available, 1) == "aba"


# ---- least-busy


def test_the_fewest_requests_in_flight_per_weight_win() -> None:
    available = [
        candidate("a", 1, in_flight=3),
        candidate("b", 4, in_flight=8),
        candidate("c", 2, in_flight=5),
    ]
    assert set(draws(LeastBusy(), available, 50)) == {"b"}


def test_of_equally_busy_candidates_more_room_wins() -> None:
    available = [
        candidate("a", 1, in_flight=2, room=0.4),
        candidate("b", 2, in_flight=4, room=0.6),
        candidate("c", 1, in_flight=3, room=1.0),
    ]
    assert set(draws(LeastBusy(), available, 50)) == {"b"}


def test_chance_decides_between_equals() -> None:
    available = [candidate("a"), candidate("b"), candidate("c", in_flight=1)]
    chosen = draws(LeastBusy(), available, 1000)
    assert chosen["c"] == 0
    assert min(chosen["a"], chosen["b"]) > 400


def test_a_weight_of_zero_is_as_busy_as_can_be() -> None:
    busy, idle = candidate("a", 1, in_flight=50), candidate("b", 0)
    assert set(draws(LeastBusy(), [busy, idle], 20)) == {"a"}
    quiet = candidate("c", 0, in_flight=1)
    assert set(draws(LeastBusy(), [quiet, idle], 20)) == {"b"}


# ---- failover


def test_the_highest_priority_wins_and_of_equals_the_first() -> None:
    a, b, c, d = (candidate(n, priority=p) for n, p in [("a", 0), ("b", 5), ("c", 5), ("d", 1)])
    rng = random.Random(1)
    assert Failover().choose([a, b, c, d], ask(), rng) is b
    assert Failover().choose([a, c, b, d], ask(), rng) is c
    assert Failover().choose([a, d], ask(), rng) is d
    assert Failover().choose([a], ask(), rng) is a


# ---- cost-based

# input, output, cache read, 5 minute write, 1 hour write
DEAR = (4.0, 20.0, 0.2, 5.0, 8.0)
MIDDLE = (3.0, 15.0, 0.3, 3.75, 6.0)
CHEAP = (1.0, 5.0, 0.1, 1.25, 2.0)


def cheapest(available: list[Any], **facts: Any) -> str:
    [name] = draws(CostBased(), available, 3, **facts)
    return name


def test_the_cheapest_takes_a_new_conversation() -> None:
    available = [candidate("a", dollars=DEAR), candidate("b", dollars=CHEAP)]
    assert cheapest(available, tokens_in=20_000, tokens_out=500) == "b"


def test_a_warm_prefix_holds_a_conversation_at_a_dearer_provider() -> None:
    available = [candidate("a", dollars=DEAR, slot=7), candidate("b", dollars=CHEAP, slot=8)]
    # 100k read at 0.2 and 1k written at 5, against 101k written at 1.25.
    place = binding(slot=7, prefix_tokens=100_000)
    assert cheapest(available, tokens_in=101_000, tokens_out=500, binding=place) == "a"


def test_a_prefix_too_short_to_pay_for_the_difference_does_not_hold_it() -> None:
    available = [candidate("a", dollars=DEAR, slot=7), candidate("b", dollars=CHEAP, slot=8)]
    place = binding(slot=7, prefix_tokens=1_000)
    assert cheapest(available, tokens_in=20_000, tokens_out=500, binding=place) == "b"


def test_an_expected_cost_is_that_of_the_cache_where_it_is_and_of_writing_elsewhere() -> None:
    here, there = candidate("a", dollars=DEAR, slot=7), candidate("b", dollars=MIDDLE)
    facts: dict[str, Any] = {"tokens_in": 11_000, "tokens_out": 100}
    short = ask(binding=binding(slot=7, prefix_tokens=10_000), **facts)
    assert expected_cost(here, short) == 10_000 * 0.2 + 1_000 * 5 + 100 * 20
    assert expected_cost(there, short) == 11_000 * 3.75 + 100 * 15
    long = ask(binding=binding(slot=7, prefix_tokens=10_000, ttl_s=3600.0), **facts)
    assert expected_cost(here, long) == 10_000 * 0.2 + 1_000 * 8 + 100 * 20
    assert expected_cost(there, ask(**facts)) == 11_000 * 3.75 + 100 * 15


def test_no_more_is_read_from_a_cache_than_the_prompt_has() -> None:
    here = candidate("a", dollars=DEAR, slot=7)
    shorter = ask(binding=binding(slot=7, prefix_tokens=50_000), tokens_in=10_000)
    assert expected_cost(here, shorter) == 10_000 * 0.2


def test_candidates_without_a_price_come_last_in_order() -> None:
    unknown, other = candidate("a"), candidate("b", room=0.1)
    assert cheapest([unknown, candidate("c", dollars=DEAR)], tokens_in=1000) == "c"
    assert cheapest([other, unknown], tokens_in=1000) == "b"
    assert expected_cost(unknown, ask(tokens_in=1000)) is None


def test_of_equal_costs_more_room_wins_and_then_order() -> None:
    tight = candidate("a", dollars=CHEAP, room=0.2)
    roomy = candidate("b", dollars=CHEAP, room=0.9)
    same = candidate("c", dollars=CHEAP, room=0.9)
    assert cheapest([tight, same, roomy], tokens_in=1000) == "c"
    assert cheapest([tight, roomy, same], tokens_in=1000) == "b"


def test_what_is_free_is_the_cheapest() -> None:
    free = candidate("b", dollars=(0.0, 0.0))
    assert cheapest([candidate("a", dollars=CHEAP), free], tokens_in=1000) == "b"


# ---- latency-based


def test_without_exploration_the_quickest_wins() -> None:
    available = [
        candidate("a", first_event_s=0.9),
        candidate("b", first_event_s=0.3),
        candidate("c"),
        candidate("d", first_event_s=0.5, observed_at=NOW - 3600.0),
    ]
    assert set(draws(LatencyBased(0.0), available, 200)) == {"b"}


def test_latencies_are_kept_apart_by_the_class_of_output() -> None:
    a, b = candidate("a", first_event_s=0.9), candidate("b", first_event_s=0.3)
    b.provider.endpoint.stats.seen[int(OutputClass.THINKING)] = (9.0, NOW)
    a.provider.endpoint.stats.seen[int(OutputClass.THINKING)] = (5.0, NOW)
    chooser = LatencyBased(0.0)
    assert set(draws(chooser, [a, b], 20, output_class=OutputClass.STREAM)) == {"b"}
    assert set(draws(chooser, [a, b], 20, output_class=OutputClass.THINKING)) == {"a"}


def test_without_averages_chance_decides() -> None:
    chosen = draws(LatencyBased(0.0), [candidate(name) for name in "abc"], 1500)
    assert min(chosen[name] for name in "abc") > 400


def test_other_output_classes_stand_in_where_none_was_observed() -> None:
    a, b = candidate("a", first_event_s=0.9), candidate("b", first_event_s=0.3)
    chosen = draws(LatencyBased(0.0), [a, b], 20, output_class=OutputClass.WHOLE)
    assert set(chosen) == {"b"}


def test_an_unobserved_candidate_is_tried_as_often_as_by_chance() -> None:
    available = [candidate("known", first_event_s=0.3), candidate("b"), candidate("c")]
    chosen = draws(LatencyBased(0.05), available, 5000)
    assert chosen["b"] / 5000 == pytest.approx(1 / 3, rel=0.15)
    assert chosen["c"] / 5000 == pytest.approx(1 / 3, rel=0.15)


def test_exploration_prefers_candidates_unobserved_for_a_minute() -> None:
    available = [
        candidate("best", first_event_s=0.3),
        candidate("known", first_event_s=0.9, observed_at=NOW - 59.0),
        candidate("unsure", first_event_s=9.0, observed_at=NOW - 61.0),
    ]
    chosen = draws(LatencyBased(0.1), available, 5000)
    assert chosen["known"] == 0
    assert chosen["unsure"] / 5000 == pytest.approx(0.1, rel=0.2)


def test_just_after_boot_no_average_is_stale() -> None:
    available = [
        candidate("best", first_event_s=0.3, observed_at=5.0),
        candidate("known", first_event_s=0.9, observed_at=5.0),
        candidate("other", first_event_s=0.9, observed_at=5.0),
    ]
    assert set(draws(LatencyBased(1.0), available, 200, now=10.0)) == {"known", "other"}


def test_any_but_the_quickest_is_explored_when_all_are_known() -> None:
    available = [candidate(name, first_event_s=0.3 + at / 10) for at, name in enumerate("abc")]
    chosen = draws(LatencyBased(0.2), available, 5000)
    assert chosen["b"] / 5000 == pytest.approx(0.1, rel=0.2)
    assert chosen["c"] / 5000 == pytest.approx(0.1, rel=0.2)


def test_the_last_average_of_a_provider_that_was_away_still_counts() -> None:
    back = candidate("back", first_event_s=0.2, observed_at=NOW - 600.0)
    chosen = draws(LatencyBased(0.05), [candidate("a", first_event_s=0.5), back], 1000)
    assert chosen["back"] > 900


def test_a_recovered_provider_is_found_again() -> None:
    quick, slow = candidate("quick", first_event_s=0.4), candidate("was slow", first_event_s=8.0)
    rng = random.Random(5)
    taken = []
    for second in range(300):
        now = NOW + second
        one = LatencyBased(0.05).choose([quick, slow], ask(now=now), rng)
        taken.append(one)
        # It answers in a tenth of a second now; an old average is worth little beside that.
        one.provider.endpoint.stats.seen[0] = (0.1 if one is slow else 0.4, now)
    assert taken[:1] == [quick]
    assert taken[-100:].count(slow) > 85


# ---- model-based

MODELS = {
    "claude-": ["c"],
    "claude-opus": ["b", "a"],
    "claude-*-4-5": ["d"],
    "glm-?.3*": ["z"],
    "claude-opus-4-8": ["a"],
    "*": ["any"],
}


@pytest.mark.parametrize(
    ("asked", "entry"),
    [
        ("claude-opus-5-5", "claude-opus"),
        ("claude-opus-4-8", "claude-opus-4-8"),
        ("claude-opus-4-8[1m]", "claude-opus-4-8"),
        ("claude-sonnet-5-5", "claude-"),
        ("glm-5.3-flash", "glm-?.3*"),
        ("glm-4.7", "*"),
        ("", "*"),
        ("xclaude-opus", "*"),
    ],
)
def test_a_model_falls_under_its_longest_entry(asked: str, entry: str) -> None:
    assert entry_for(MODELS, asked) == entry


def test_of_entries_as_long_as_each_other_the_one_written_first_holds() -> None:
    assert entry_for({"claude-": [], "claude-*-4-5": []}, "claude-opus-4-5") == "claude-"
    assert entry_for({"claude-*-4-5": [], "claude-": []}, "claude-opus-4-5") == "claude-*-4-5"


def test_an_exact_name_beats_a_glob_and_a_prefix_that_are_as_long() -> None:
    models: dict[str, list[str]] = {"claude-opus*": [], "claude-opus": []}
    assert entry_for(models, "claude-opus") == "claude-opus"


def test_the_wide_window_can_have_an_entry_of_its_own() -> None:
    models: dict[str, list[str]] = {"claude-sonnet": [], "claude-sonnet-4-5[1m]": []}
    assert entry_for(models, "claude-sonnet-4-5[1m]") == "claude-sonnet-4-5[1m]"
    assert entry_for(models, "claude-sonnet-4-5") == "claude-sonnet"
    assert entry_for({"claude-*[1m]": []}, "claude-opus-5[1m]") == "claude-*[1m]"
    assert entry_for({"claude-*[1m]": []}, "claude-opus-m") is None
    assert entry_for({"claude-*-5": []}, "claude-opus-5[1m]") == "claude-*-5"


def test_a_glob_has_to_match_the_whole_name() -> None:
    assert entry_for({"glm-?": []}, "glm-5.3") is None
    assert entry_for({"glm-?.3": []}, "glm-5.3") == "glm-?.3"


def listed(models: dict[str, list[str]], default: list[str], names: str, asked: str) -> str:
    chooser = ModelBased(models, default)
    available = [candidate(name, asked=asked) for name in names]
    [name] = draws(chooser, available, 2)
    return name


def test_the_first_available_of_the_list_wins() -> None:
    models = {"claude-opus": ["b", "a"]}
    assert listed(models, [], "abc", "claude-opus-5-5") == "b"
    assert listed(models, [], "acd", "claude-opus-5-5") == "a"


def test_after_the_list_come_the_default_and_all_others_in_order() -> None:
    models = {"claude-opus": ["b"]}
    assert listed(models, ["d", "c"], "acd", "claude-opus-5-5") == "d"
    assert listed(models, ["d", "c"], "ac", "claude-opus-5-5") == "c"
    assert listed(models, ["d"], "ca", "claude-opus-5-5") == "c"


def test_a_model_without_entry_goes_to_the_default() -> None:
    assert listed({"claude-opus": ["b"]}, ["c"], "abc", "glm-5.3") == "c"
    assert listed({"claude-opus": ["b"]}, [], "cab", "glm-5.3") == "c"


def test_the_list_of_a_model_can_be_read() -> None:
    chooser = ModelBased({"claude-opus": ["b", "a"]}, ["c"])
    assert list(chooser.providers("claude-opus-5-5")) == ["b", "a"]
    assert list(chooser.providers("glm-5.3")) == ["c"]


def test_the_memory_of_models_is_bounded() -> None:
    chooser = ModelBased({}, ["b"])
    for number in range(REMEMBERED_MODELS_MAX + 10):
        asked = f"m{number}"
        available = [candidate(name, asked=asked) for name in "ab"]
        assert chooser.choose(available, ask(), random.Random(1)) is available[1]
    assert len(chooser._remembered) <= REMEMBERED_MODELS_MAX
