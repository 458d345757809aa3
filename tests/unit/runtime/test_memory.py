import os

import pytest
from hypothesis import given, strategies as st

from ccrelay._fast.affinity_table import AffinityTable
from ccrelay._fast.rate_limits import Cooldown, TargetLimits
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Config, Key, Provider, Server
from ccrelay.config.problems import ConfigError
from ccrelay.fleet.refused_features import RefusedFeatures
from ccrelay.runtime.memory import Allocations, MemoryAllocator, SlotAllocator, anonymous_file


def config(workers: int = 1, **keys: list[str]) -> Config:
    providers = [
        Provider(name=name, base_url="http://127.0.0.1:1", keys=[Key(key=key) for key in own])
        for name, own in keys.items()
    ]
    return Config(server=Server(workers=workers), providers=providers)


@pytest.fixture
def memory():
    made = MemoryAllocator.create(config(a=["test-key-1"]))
    yield made
    made.close()


# ---- slots


@given(
    steps=st.lists(st.sets(st.sampled_from("abcdefgh"), max_size=4), max_size=20),
    count=st.integers(4, 9),
)
def test_identities_keep_their_slots_and_never_share_one(steps, count):
    slots = SlotAllocator(count)
    last: dict[str, int] = {}
    owner: dict[int, str] = {}
    for wanted in steps:
        reused = slots.assign(sorted(wanted))
        assert slots.assigned.keys() == wanted
        assert len(set(slots.assigned.values())) == len(wanted)
        for identity, slot in slots.assigned.items():
            if owner.get(slot) == identity:
                assert last[identity] == slot
                assert slot not in reused
            else:
                assert (slot in owner) == (slot in reused), "reused means: it had another owner"
            owner[slot] = identity
        last |= slots.assigned


def test_freed_slots_are_reused_last_and_oldest_first():
    slots = SlotAllocator(4)
    slots.assign("ab")
    slots.assign("b")
    slots.assign("bc")
    slots.assign("c")
    assert slots.assigned == {"c": 2}
    assert slots.assign("cd") == []
    assert slots.assigned["d"] == 3
    assert slots.assign("cdef") == [0, 1]
    assert slots.assigned == {"c": 2, "d": 3, "e": 0, "f": 1}


# ---- layouts


def test_unchanged_keys_and_providers_keep_their_slots(memory):
    before = memory.assign_layout(config(a=["test-key-1", "test-key-2"], b=[]))
    after = memory.assign_layout(config(new=["test-key-1"], b=[], a=["test-key-3", "test-key-2"]))
    assert after.targets["b"] == before.targets["b"]
    assert after.targets["a"][1] == before.targets["a"][1]
    assert after.targets["a"][0] not in before.targets["a"]
    assert after.targets["new"][0] not in before.targets["a"], (
        "the same secret of another provider is another target"
    )
    assert {name: after.endpoints[name] for name in "ab"} == before.endpoints


def test_restoring_a_configuration_restores_its_state(memory):
    old = config(a=["test-key-1"])
    before = memory.assign_layout(old)
    TargetLimits(memory.memory, before.targets["a"][0]).start_cooldown(1e9, Cooldown.QUOTA)
    memory.assign_layout(config(a=["test-key-2"]))
    assert memory.assign_layout(old) == before
    assert TargetLimits(memory.memory, before.targets["a"][0]).cooldown_reason == Cooldown.QUOTA


def test_another_base_url_is_another_endpoint_with_other_targets(memory):
    before = memory.assign_layout(config(a=["test-key-1"]))
    moved = Provider(name="a", base_url="http://127.0.0.1:2", keys=[Key(key="test-key-1")])
    after = memory.assign_layout(Config(providers=[moved]))
    assert (after.targets, after.endpoints) != (before.targets, before.endpoints)


def test_the_same_secret_twice_shares_a_slot(memory):
    layout = memory.assign_layout(config(a=["test-key-1", "test-key-1"]))
    assert len(set(layout.targets["a"])) == 1


def test_a_reused_slot_is_cleared():
    fd = anonymous_file()
    SharedMemory.format(fd, workers=2, targets=1, endpoints=1, bindings=64)
    memory = MemoryAllocator(fd)
    memory.assign_layout(config(a=["test-key-1"]))
    TargetLimits(memory.memory, 0).start_cooldown(1e9, Cooldown.QUOTA)
    AffinityTable(memory.memory).keep(7, 0, 1.0)
    memory.assign_layout(config(b=["test-key-1"]))
    assert TargetLimits(memory.memory, 0).cooldown_reason == Cooldown.NONE
    assert AffinityTable(memory.memory).find(7, 1.0) is None
    memory.close()


def test_too_many_keys_are_an_error_and_change_nothing(memory):
    before = memory.assign_layout(config(a=["test-key-1"]))
    many = config(a=[f"test-key-{number}" for number in range(300)])
    assert memory.capacity_error(many) == "too small for this configuration"
    with pytest.raises(ConfigError, match=r"300 keys exceed the capacity .* \(256\): send SIGUSR2"):
        memory.assign_layout(many)
    assert memory.assign_layout(config(a=["test-key-1"])) == before


def test_the_memory_has_headroom_for_changes():
    made = MemoryAllocator.create(config(a=[f"test-key-{number}" for number in range(100)]))
    assert made.memory.targets == 400
    made.close()


# ---- columns


def test_columns_are_unique_until_all_are_in_use(memory):
    columns = [memory.acquire_column() for _ in range(memory.memory.workers)]
    assert columns == list(range(8))
    assert memory.acquire_column() is None
    memory.release_column(3)
    assert memory.acquire_column() == 3


def test_release_column_returns_in_flight_exchanges(memory):
    memory.assign_layout(config(a=["test-key-1"]))
    column = memory.acquire_column()
    worker = SharedMemory(memory.fd, column)
    kept = [TargetLimits(worker, 0).reserve(1.0, 1, 1) for _ in range(3)]
    assert all(kept)
    assert TargetLimits(memory.memory, 0).in_flight == 3
    assert memory.release_column(column) == 3
    assert TargetLimits(memory.memory, 0).in_flight == 0


def test_an_upgrade_needs_free_columns_for_all_workers_and_one_more(memory):
    plain = config(workers=3, a=["test-key-1"])
    for _ in range(4):
        memory.acquire_column()
    assert memory.capacity_error(plain) is None
    memory.acquire_column()
    assert (
        memory.capacity_error(plain)
        == "too few columns for 3 more workers beside the 5 that still run"
    )


# ---- refused keys


def test_clear_refused_keeps_other_cooldowns(memory):
    layout = memory.assign_layout(config(a=["test-key-1", "test-key-2", "test-key-3"]))
    first, second, third = (TargetLimits(memory.memory, slot) for slot in layout.targets["a"])
    first.start_cooldown(0.0, Cooldown.REFUSED)
    second.start_cooldown(1e9, Cooldown.QUOTA)
    assert memory.clear_refused(layout) == 1
    reasons = [limit.cooldown_reason for limit in (first, second, third)]
    assert reasons == [Cooldown.NONE, Cooldown.QUOTA, Cooldown.NONE]


def test_what_providers_refused_of_requests_is_tried_again(memory):
    refused = RefusedFeatures(memory.memory)
    for provider in ("a", "b", "c"):
        refused.learn(provider, "m", "effort", 1000.0)
    assert memory.forget_refused_features({"a", "c", "gone"}) == 2
    assert [one.provider for one in refused.all(1000.0)] == ["b"]


# ---- upgrades


def test_allocations_survive_a_handover(memory):
    before = memory.assign_layout(config(a=["test-key-1", "test-key-2"]))
    memory.acquire_column()
    successor = MemoryAllocator(os.dup(memory.fd), memory.allocations)
    assert successor.assign_layout(config(a=["test-key-2"])).targets["a"] == before.targets["a"][1:]
    assert successor.acquire_column() == 1
    successor.close()


def test_memory_of_another_format_is_an_error():
    fd = anonymous_file()
    os.ftruncate(fd, 1 << 16)
    with pytest.raises(ValueError, match="another ccrelay version"):
        MemoryAllocator(fd, Allocations(SlotAllocator(1), SlotAllocator(1)))
    os.close(fd)
