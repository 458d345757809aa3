import msgspec
import pytest
from hypothesis import given, strategies as st

from ccrelay.config.diff import Diff, changes
from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import (
    Affinity,
    Auth,
    Config,
    Health,
    Key,
    Limits,
    Logging,
    Management,
    Model,
    Price,
    Provider,
    Routing,
    Rule,
    Server,
    UpstreamTimeouts,
    Use,
    When,
)

A = Provider(name="a", type="zai", keys=[Key(key="canary-1"), Key(key="canary-2", rpm_limit=5)])
B = Provider(name="b", type="ollama")
C = Provider(name="c", type="ollama", enabled=False)


def of(*providers: Provider) -> Config:
    return Config(providers=list(providers))


def changed(provider: Provider, **members: object) -> Provider:
    return msgspec.structs.replace(provider, **members)


def test_equal_configurations_have_an_empty_diff():
    assert changes(of(A, B), of(A, B)) == Diff()
    assert changes(of(A, B), of(A, B)).is_empty


def test_added_removed_and_changed_providers():
    diff = changes(of(A, B), of(changed(A, weight=2), C))
    assert diff == Diff(providers_added=("c",), providers_removed=("b",), providers_changed=("a",))
    assert not diff.is_empty


def test_a_renamed_provider_is_removed_and_added():
    diff = changes(of(A), of(changed(A, name="z")))
    assert diff == Diff(providers_added=("z",), providers_removed=("a",))


def test_added_and_removed_keys_do_not_change_their_provider():
    keys = [A.keys[1], Key(key="canary-3")]
    diff = changes(of(A, B), of(changed(A, keys=keys), B))
    assert diff == Diff(
        keys_added={"a": (fingerprint("canary-3"),)},
        keys_removed={"a": (fingerprint("canary-1"),)},
    )


@pytest.mark.parametrize(
    "members",
    [
        {"enabled": False},
        {"model_mapping": {"m": "n"}},
        {"timeouts": UpstreamTimeouts(idle_s=1)},
        {"prices": {"m": Price(input=1, output=1)}},
        {"headers": {"x-a": "canary-header"}},
        {"base_url": "https://canary-url.example"},
        {"models": [Model(id="m")]},
        {"keys": [A.keys[0], Key(key="canary-2", rpm_limit=6)]},
        {"keys": [A.keys[0], Key(key="canary-2", rpm_limit=5, enabled=False)]},
        {"keys": A.keys[::-1]},
    ],
)
def test_any_other_difference_changes_the_provider(members):
    assert changes(of(A, B), of(changed(A, **members), B)) == Diff(providers_changed=("a",))


def test_the_order_of_mappings_matters():
    one, other = ({"a*": "m", "b*": "n"}, {"b*": "n", "a*": "m"})
    old, new = of(changed(B, model_mapping=one)), of(changed(B, model_mapping=other))
    assert changes(old, new) == Diff(providers_changed=("b",))


def test_the_order_of_providers_is_a_setting():
    assert changes(of(A, B), of(B, A)) == Diff(settings=("providers",))
    assert changes(of(A, B), of(C, A, B)) == Diff(providers_added=("c",))


def test_changed_settings_are_listed_by_path():
    old = Config(providers=[A])
    new = Config(
        server=Server(
            auth=Auth(tokens=["canary-token"]), watch=False, limits=Limits(header_count_max=9)
        ),
        routing=Routing(
            strategy="failover",
            affinity=Affinity(enabled=False),
            models={"m": ["a"]},
            rules=[Rule(when=When(images=True), use=Use(model="m"))],
        ),
        providers=[A],
        health=Health(failures=2),
    )
    assert changes(old, new) == Diff(
        settings=(
            "server.watch",
            "server.auth.tokens",
            "server.limits.header_count_max",
            "routing.strategy",
            "routing.models",
            "routing.rules",
            "routing.affinity.enabled",
            "health.failures",
        )
    )


def test_settings_that_need_a_restart_are_separate():
    new = Config(
        server=Server(listen="127.0.0.1:1", workers=2, allowed_hosts=["x"]),
        logging=Logging(level="debug", file="x.log"),
        management=Management(enabled=False, listen="127.0.0.1:2", allowed_hosts=["x"]),
        providers=[A],
    )
    assert changes(of(A), new) == Diff(
        settings=("server.allowed_hosts", "logging.level", "management.allowed_hosts"),
        needs_restart=(
            *("server.listen", "server.workers", "logging.file"),
            *("management.enabled", "management.listen"),
        ),
    )


def test_the_diff_contains_no_secrets():
    old = Config(server=Server(auth=Auth(tokens=["canary-t"])), providers=[A])
    headers = {"x-secret": "canary-h"}
    new = of(changed(A, keys=[Key(key="canary-4")], headers=headers, base_url="https://canary-u"))
    diff = changes(old, new)
    assert diff.keys_added
    assert diff.keys_removed
    assert "canary" not in repr(diff)
    assert b"canary" not in msgspec.json.encode(diff)


PROVIDER = st.builds(
    Provider,
    name=st.sampled_from("abc"),
    enabled=st.booleans(),
    keys=st.lists(
        st.builds(Key, key=st.sampled_from(["k1", "k2"]), weight=st.integers(0, 1)),
        max_size=2,
        unique_by=lambda key: key.key,
    ),
)
CONFIG = st.builds(
    Config,
    server=st.builds(Server, workers=st.integers(1, 2), watch=st.booleans()),
    providers=st.lists(PROVIDER, max_size=3, unique_by=lambda provider: provider.name),
)


@given(CONFIG, CONFIG)
def test_the_diff_is_empty_only_for_equal_configurations(old, new):
    assert changes(old, new).is_empty == (old == new)
    assert changes(old, old).is_empty


@given(CONFIG, CONFIG)
def test_the_reverse_diff_swaps_added_and_removed(old, new):
    there, back = changes(old, new), changes(new, old)
    assert set(there.providers_added) == set(back.providers_removed)
    assert set(there.providers_changed) == set(back.providers_changed)
    assert there.keys_added == back.keys_removed
    assert there.settings == back.settings
    assert there.needs_restart == back.needs_restart
