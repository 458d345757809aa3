import os

import pytest
from hypothesis import given, strategies as st

from ccrelay._fast.affinity_table import AffinityTable
from ccrelay._fast.rate_limits import Cooldown, TargetLimits
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Config, Key, Provider, Server
from ccrelay.config.problems import ConfigError
from ccrelay.runtime.memory import Allotment, Memory, Slots, anonymous_file


def config(workers: int = 1, **keys: list[str]) -> Config:
    providers = [
        Provider(name=name, base_url="http://127.0.0.1:1", keys=[Key(key=key) for key in own])
        for name, own in keys.items()
    ]
    return Config(server=Server(workers=workers), providers=providers)


@pytest.fixture
def memory():
    made = Memory.create(config(a=["test-key-1"]))
    yield made
    made.close()


# ---- slots


@given(
    steps=st.lists(st.sets(st.sampled_from("abcdefgh"), max_size=4), max_size=20),
    count=st.integers(4, 9),
)
def test_whoever_stays_or_comes_back_early_keeps_its_slot_and_nobody_shares_one(steps, count):
    slots = Slots(count)
    last: dict[str, int] = {}
    owner: dict[int, str] = {}
    for wanted in steps:
        reused = slots.assign(sorted(wanted))
        assert slots.taken.keys() == wanted
        assert len(set(slots.taken.values())) == len(wanted)
        for identity, slot in slots.taken.items():
            if owner.get(slot) == identity:
                assert last[identity] == slot
                assert slot not in reused
            else:
                assert (slot in owner) == (slot in reused), "cleared exactly when it was another's"
            owner[slot] = identity
        last |= slots.taken


def test_a_slot_that_was_given_up_is_used_again_last_and_the_oldest_first():
    slots = Slots(4)
    slots.assign("ab")
    slots.assign("b")
    slots.assign("bc")
    slots.assign("c")
    assert slots.taken == {"c": 2}
    assert slots.assign("cd") == []
    assert slots.taken["d"] == 3
    assert slots.assign("cdef") == [0, 1]
    assert slots.taken == {"c": 2, "d": 3, "e": 0, "f": 1}


# ---- layouts


def test_keys_and_providers_that_stay_keep_their_slots(memory):
    before = memory.layout(config(a=["test-key-1", "test-key-2"], b=[]))
    after = memory.layout(config(new=["test-key-1"], b=[], a=["test-key-3", "test-key-2"]))
    assert after.targets["b"] == before.targets["b"]
    assert after.targets["a"][1] == before.targets["a"][1]
    assert after.targets["a"][0] not in before.targets["a"]
    assert after.targets["new"][0] not in before.targets["a"], (
        "the same secret elsewhere is another"
    )
    assert {name: after.endpoints[name] for name in "ab"} == before.endpoints


def test_going_back_to_the_configuration_before_finds_its_state_again(memory):
    old = config(a=["test-key-1"])
    before = memory.layout(old)
    TargetLimits(memory.memory, before.targets["a"][0]).rest(1e9, Cooldown.QUOTA)
    memory.layout(config(a=["test-key-2"]))
    assert memory.layout(old) == before
    assert TargetLimits(memory.memory, before.targets["a"][0]).cooldown_reason == Cooldown.QUOTA


def test_another_address_is_another_endpoint_with_other_targets(memory):
    before = memory.layout(config(a=["test-key-1"]))
    moved = Provider(name="a", base_url="http://127.0.0.1:2", keys=[Key(key="test-key-1")])
    after = memory.layout(Config(providers=[moved]))
    assert (after.targets, after.endpoints) != (before.targets, before.endpoints)


def test_a_secret_that_is_given_twice_has_one_slot(memory):
    layout = memory.layout(config(a=["test-key-1", "test-key-1"]))
    assert len(set(layout.targets["a"])) == 1


def test_a_slot_starts_empty_for_its_next_owner():
    fd = anonymous_file()
    SharedMemory.format(fd, workers=2, targets=1, endpoints=1, bindings=64)
    memory = Memory(fd)
    memory.layout(config(a=["test-key-1"]))
    TargetLimits(memory.memory, 0).rest(1e9, Cooldown.QUOTA)
    AffinityTable(memory.memory).keep(7, 0, 1.0)
    memory.layout(config(b=["test-key-1"]))
    assert TargetLimits(memory.memory, 0).cooldown_reason == Cooldown.NONE
    assert AffinityTable(memory.memory).find(7, 1.0) is None
    memory.close()


def test_more_keys_than_there_is_room_for_say_what_to_do_and_change_nothing(memory):
    before = memory.layout(config(a=["test-key-1"]))
    many = config(a=[f"test-key-{number}" for number in range(300)])
    assert memory.lacks(many) == "no room for this configuration"
    with pytest.raises(ConfigError, match=r"300 keys .* room for \(256\): send SIGUSR2"):
        memory.layout(many)
    assert memory.layout(config(a=["test-key-1"])) == before


def test_a_large_configuration_gets_room_for_changes():
    made = Memory.create(config(a=[f"test-key-{number}" for number in range(100)]))
    assert made.memory.targets == 400
    made.close()


# ---- columns


def test_each_process_has_a_column_until_all_are_taken(memory):
    columns = [memory.take_column() for _ in range(memory.memory.workers)]
    assert columns == list(range(8))
    assert memory.take_column() is None
    memory.return_column(3)
    assert memory.take_column() == 3


def test_what_a_dead_process_had_in_flight_is_returned(memory):
    memory.layout(config(a=["test-key-1"]))
    column = memory.take_column()
    worker = SharedMemory(memory.fd, column)
    kept = [TargetLimits(worker, 0).reserve(1.0, 1, 1) for _ in range(3)]
    assert all(kept)
    assert TargetLimits(memory.memory, 0).in_flight == 3
    assert memory.return_column(column) == 3
    assert TargetLimits(memory.memory, 0).in_flight == 0


def test_there_is_room_for_an_upgrade_while_columns_for_a_crew_are_left(memory):
    plain = config(workers=3, a=["test-key-1"])
    for _ in range(4):
        memory.take_column()
    assert memory.lacks(plain) is None
    memory.take_column()
    assert memory.lacks(plain) == "no room for 3 more workers beside the 5 that still run"


# ---- pardon


def test_refused_keys_are_pardoned_and_other_rests_go_on(memory):
    layout = memory.layout(config(a=["test-key-1", "test-key-2", "test-key-3"]))
    first, second, third = (TargetLimits(memory.memory, slot) for slot in layout.targets["a"])
    first.rest(0.0, Cooldown.REFUSED)
    second.rest(1e9, Cooldown.QUOTA)
    assert memory.clear_cooldown(layout) == 1
    reasons = [gauge.cooldown_reason for gauge in (first, second, third)]
    assert reasons == [Cooldown.NONE, Cooldown.QUOTA, Cooldown.NONE]


# ---- from one image to the next


def test_what_is_given_out_is_known_after_a_handover(memory):
    before = memory.layout(config(a=["test-key-1", "test-key-2"]))
    memory.take_column()
    successor = Memory(os.dup(memory.fd), memory.allotment)
    assert successor.layout(config(a=["test-key-2"])).targets["a"] == before.targets["a"][1:]
    assert successor.take_column() == 1
    successor.close()


def test_memory_of_another_kind_is_refused():
    fd = anonymous_file()
    os.ftruncate(fd, 1 << 16)
    with pytest.raises(ValueError, match="shared memory of another"):
        Memory(fd, Allotment(Slots(1), Slots(1)))
    os.close(fd)
