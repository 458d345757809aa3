"""Who serves a model, and under which name it is sent."""

from ccrelay.config.model import Health, Key, Model, Provider
from ccrelay.fleet.service import Service
from ccrelay.routing import candidates as module
from ccrelay.routing.candidates import Candidates


def service(name: str, kind: str = "compatible", **settings: object) -> Service:
    resolved: dict[str, object] = {
        "base_url": "http://127.0.0.1:1",
        "auth": "bearer",
        "models": [],
        "system_role": "keep",
        "count_tokens": "forward",
        "keys": [Key(key="test-key-1")],
        **settings,
    }
    return Service(Provider(name=name, type=kind, **resolved), Health())  # type: ignore[arg-type]


def test_a_slate_keeps_the_configured_order_and_leaves_out_who_does_not_serve_the_model() -> None:
    services = [
        service("one", models=["glm-*"]),
        service("two", models=["claude-*"]),
        service("three", models=["glm-5"]),
    ]
    slate = Candidates(services).of(b'"glm-5"', "glm-5")
    assert [candidate.service.name for candidate in slate.candidates] == ["one", "three"]
    assert slate.model == "glm-5"


def test_a_provider_without_a_usable_key_is_no_candidate() -> None:
    disabled = service("one", models=["*"], keys=[Key(key="test-key-1", enabled=False)])
    assert Candidates([disabled]).of(b'"m"', "m").candidates == []


def test_a_mapped_name_is_spliced_as_json_and_an_unchanged_one_is_not() -> None:
    services = [
        service("maps", model_mapping={"claude-*": 'odd "name"'}),
        service("keeps", models=["claude-*"]),
    ]
    maps, keeps = Candidates(services).of(b'"claude-x"', "claude-x").candidates
    assert (maps.sent, maps.splice) == ('odd "name"', b'"odd \\"name\\""')
    assert (keeps.sent, keeps.splice) == ("claude-x", None)


def test_the_window_mark_never_goes_upstream() -> None:
    (candidate,) = Candidates([service("one", models=["m"])]).of(b'"m[1m]"', "m[1m]").candidates
    assert candidate.splice == b'"m"'


def test_a_candidate_carries_what_is_asked_per_request() -> None:
    made = service("one", models=["m"], system_role="user", count_tokens="estimate", weight=5)
    (candidate,) = Candidates([made]).of(b'"m"', "m").candidates
    assert candidate.rewrites
    assert candidate.estimates
    assert candidate.weight == 5
    assert candidate.endpoint is made.endpoint
    assert repr(candidate) == "<Candidate one m>"


def test_a_spelling_is_remembered_and_two_spellings_of_a_model_are_two() -> None:
    known = Candidates([service("one", models=["m"])])
    slate = known.of(b'"m"', "m")
    assert known.remembered[b'"m"'] is slate
    assert known.remembered.get(rb'"\u006d"') is None
    assert known.of(rb'"\u006d"', "m").model == slate.model


def test_names_made_up_by_clients_do_not_fill_the_memory() -> None:
    known = Candidates([service("one", models=["m"])])
    for number in range(3 * module.REMEMBERED_MODELS_MAX):
        name = f"made-up-{number}"
        known.of(name.encode(), name)
    assert len(known.remembered) <= module.REMEMBERED_MODELS_MAX


def test_what_is_served_is_told_once_each_in_configured_order() -> None:
    services = [
        service("one", model_mapping={"claude-*": "m"}, models=["m", Model(id="shown")]),
        service("two", models=["m", "other"]),
    ]
    assert Candidates(services).served() == ["claude-*", "m", "shown", "other"]


def test_paths_beyond_messages_go_to_the_first_anthropic_provider_that_has_a_credential() -> None:
    disabled = [Key(key="test-key-1", enabled=False)]
    services = [
        service("zai", "zai"),
        service("no-key", "anthropic", keys=disabled),
        service("login", "anthropic", keys=[]),
    ]
    assert Candidates(services).anthropic() is services[2]
    assert Candidates(services[:2]).anthropic() is None
