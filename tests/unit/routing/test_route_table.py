"""Who serves a model, and under which name it is sent."""

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import (
    Config,
    Health,
    Key,
    Model,
    Price,
    Provider,
    Routing,
    Rule,
    Use,
)
from ccrelay.fleet.layout import Layout
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.routing import route_table as module
from ccrelay.routing.route_table import RouteTable
from ccrelay.routing.rules import CompiledRule, compile_rules
from ccrelay.routing.strategies import Strategy, strategy_for


def provider(name: str, kind: str = "compatible", **settings: object) -> Provider:
    resolved: dict[str, object] = {
        "base_url": "http://127.0.0.1:1",
        "auth": "bearer",
        "models": [],
        "system_role": "keep",
        "count_tokens": "forward",
        "keys": [Key(key="test-key-1")],
        **settings,
    }
    return Provider(name=name, type=kind, **resolved)  # type: ignore[arg-type]


def service(name: str, kind: str = "compatible", **settings: object) -> ProviderState:
    return ProviderState(provider(name, kind, **settings), Health())


def candidates(
    services: list[ProviderState], choosers: dict[str, Strategy] | None = None
) -> RouteTable:
    """With one strategy for everything, or one per name of a rule."""
    default = strategy_for(Routing())

    def strategy_for_rule(rule: CompiledRule | None) -> Strategy:
        return (choosers or {}).get(rule.name, default) if rule is not None else default

    return RouteTable(services, strategy_for_rule)


def fleet(*providers: Provider) -> list[ProviderState]:
    """Services in one memory, as in a worker."""
    layout = Layout.of(Config(providers=list(providers)))
    board = SharedMemory.private(targets=32, endpoints=8)
    return [
        ProviderState(
            one,
            Health(),
            memory=board,
            slots=layout.targets[one.name],
            endpoint_slot=layout.endpoints[one.name],
        )
        for one in providers
    ]


def test_a_route_has_the_providers_of_the_model_in_configured_order() -> None:
    services = [
        service("one", models=["glm-*"]),
        service("two", models=["claude-*"]),
        service("three", models=["glm-5"]),
    ]
    slate = candidates(services).of(b'"glm-5"', "glm-5")
    assert [candidate.provider.name for candidate in slate.candidates] == ["one", "three"]
    assert slate.model == "glm-5"


def test_a_provider_without_a_usable_key_is_no_candidate() -> None:
    disabled = service("one", models=["*"], keys=[Key(key="test-key-1", enabled=False)])
    assert candidates([disabled]).of(b'"m"', "m").candidates == []


def test_a_mapped_name_is_spliced_as_json_and_an_unchanged_one_is_not() -> None:
    services = [
        service("maps", model_mapping={"claude-*": 'odd "name"'}),
        service("keeps", models=["claude-*"]),
    ]
    maps, keeps = candidates(services).of(b'"claude-x"', "claude-x").candidates
    assert (maps.sent, maps.splice) == ('odd "name"', b'"odd \\"name\\""')
    assert (keeps.sent, keeps.splice) == ("claude-x", None)


def test_the_window_mark_never_goes_upstream() -> None:
    (candidate,) = candidates([service("one", models=["m"])]).of(b'"m[1m]"', "m[1m]").candidates
    assert candidate.splice == b'"m"'


def test_a_candidate_holds_what_each_request_needs() -> None:
    made = service("one", models=["m"], system_role="user", count_tokens="estimate", weight=5)
    (candidate,) = candidates([made]).of(b'"m"', "m").candidates
    assert candidate.rewrites
    assert candidate.estimates
    assert candidate.asked == "m"
    assert candidate.provider is made
    assert candidate.holds(made.targets[0].slot)
    assert not candidate.holds(made.targets[0].slot + 1)
    assert repr(candidate) == "<Candidate one m>"


def test_a_candidate_knows_the_price_of_the_model_it_sends() -> None:
    prices = {"other": Price(input=3.0, output=15.0)}
    services = fleet(
        provider("maps", model_mapping={"m": "other"}, prices=prices),
        provider("keeps", models=["m"], prices=prices),
    )
    maps, keeps = candidates(services).of(b'"m"', "m").candidates
    assert maps.price is not None
    assert maps.price.input == 3_000_000
    assert keeps.price is None


# ---- slates


def test_a_route_finds_provider_and_key_by_slot() -> None:
    keys = [Key(key=f"test-key-{n}") for n in range(2)]
    services = fleet(provider("one", models=["m"], keys=keys), provider("two", models=["m"]))
    slate = candidates(services).of(b'"m"', "m")
    assert [slate.by_slot[slot][1] for slot in range(3)] == [
        target for made in services for target in made.targets
    ]
    assert slate.by_slot[2][0].provider is services[1]
    assert slate.lone is None


def test_a_single_target_is_known_to_be_one() -> None:
    services = fleet(provider("one", models=["m"]), provider("two", models=["x"]))
    slate = candidates(services).of(b'"m"', "m")
    assert slate.lone == (slate.candidates[0], services[0].targets[0])
    assert candidates(services).of(b'"unserved"', "unserved").lone is None


def test_a_route_knows_whether_tokens_count_and_whether_credentials_pass() -> None:
    limited = [Key(key="test-key-1", tpm_limit=5)]
    services = fleet(
        provider("plain", models=["m"]),
        provider("limited", models=["l"], keys=limited),
        provider("login", "anthropic", models=["c"], keys=[]),
    )
    known = candidates(services)
    found = {name: known.of(name.encode(), name) for name in ("m", "l", "c")}
    assert [slate.limited for slate in found.values()] == [False, True, False]
    assert [slate.passes for slate in found.values()] == [False, False, True]


# ---- rules


def compiled(*rules: Rule) -> list[CompiledRule]:
    return list(compile_rules(Routing(rules=list(rules))).rules)


def test_a_rule_takes_its_providers_in_its_own_order() -> None:
    services = fleet(*[provider(name, models=["m"]) for name in ("one", "two", "three")])
    (rule,) = compiled(Rule(use=Use(providers=["three", "one"])))
    slate = candidates(services).under(rule, "m")
    assert [candidate.provider.name for candidate in slate.candidates] == ["three", "one"]
    assert slate.rule is rule


def test_a_rule_that_asks_for_another_model_puts_it_into_the_clients_body() -> None:
    services = fleet(provider("one", models=["big", "small"]))
    (rule,) = compiled(Rule(use=Use(model="small")))
    slate = candidates(services).under(rule, "big")
    (candidate,) = slate.candidates
    assert slate.model == "big"
    assert (candidate.asked, candidate.sent, candidate.splice) == ("small", "small", b'"small"')


def test_a_rule_may_have_a_strategy_of_its_own() -> None:
    other = strategy_for(Routing(), "least-busy")
    first, second = compiled(Rule(name="a"), Rule(name="b", use=Use(strategy="least-busy")))
    known = candidates(fleet(provider("one", models=["m"])), {"b": other})
    assert known.under(first, "m").strategy.name == "simple-shuffle"
    assert known.under(second, "m").strategy is other


def test_routes_under_rules_are_remembered_by_rule_and_bounded() -> None:
    first, second = compiled(Rule(name="a"), Rule(name="b"))
    known = candidates(fleet(provider("one", models=["m"])))
    assert known.under(first, "m") is known.under(first, "m")
    assert known.under(first, "m") is not known.under(second, "m")
    assert known.remembered == {}
    remembered = known.under(first, "m")
    for number in range(module.ROUTES_MAX + 1):
        known.under(first, f"made-up-{number}")
    assert known.under(first, "m") is not remembered, "the oldest ones are forgotten"


# ---- what is remembered and told


def test_a_spelling_is_remembered_and_two_spellings_of_a_model_are_two() -> None:
    known = candidates([service("one", models=["m"])])
    slate = known.of(b'"m"', "m")
    assert known.remembered[b'"m"'] is slate
    assert known.remembered.get(rb'"\u006d"') is None
    assert known.of(rb'"\u006d"', "m").model == slate.model


def test_remembered_routes_are_bounded() -> None:
    known = candidates([service("one", models=["m"])])
    for number in range(3 * module.ROUTES_MAX):
        name = f"made-up-{number}"
        known.of(name.encode(), name)
    assert len(known.remembered) <= module.ROUTES_MAX


def test_served_models_are_listed_once_in_configured_order() -> None:
    services = [
        service("one", model_mapping={"claude-*": "m"}, models=["m", Model(id="shown")]),
        service("two", models=["m", "other"]),
    ]
    assert candidates(services).served() == ["claude-*", "m", "shown", "other"]
