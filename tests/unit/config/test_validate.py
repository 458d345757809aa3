import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from ccrelay.config.model import Config, Model, Price, Rule, UpstreamTimeouts
from ccrelay.config.problems import path_text
from ccrelay.config.validate import validate

GOOD: dict[str, Any] = {
    "server": {"workers": 2, "auth": {"tokens": ["relay-token-1"]}},
    "routing": {
        "ping_s": 5,
        "timeouts": {"connect_s": 1.5},
        "models": {"a-": ["one"]},
        "rules": [{"when": {"images": True, "request_class": ["main"]}, "use": {"model": "b"}}],
        "retry_budget": {"ratio": 0.5, "minimum": 0},
    },
    "providers": [
        {
            "name": "one",
            "type": "anthropic",
            "keys": [{"key": "test-key-1", "rpm_limit": 60, "enabled": False}],
            "model_mapping": {"a-*": "b"},
            "models": ["x", {"id": "m", "max_input_tokens": 5}],
            "timeouts": {"idle_s": 3},
            "prices": {"b": {"input": 1, "output": 2.5}},
        }
    ],
    "logging": {"level": "debug", "exchanges": False},
}


def changed(*path: str | int, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    node: Any = data
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return data


def findings(data: Any) -> list[str]:
    return [f"{path_text(problem.path)}: {problem.message}" for problem in validate(data).problems]


def test_valid_data_converts_as_by_msgspec():
    validated = validate(GOOD)
    assert validated.problems == []
    assert validated.draft == msgspec.convert(GOOD, Config)
    assert validated.draft.providers[0].models == ["x", Model(id="m", max_input_tokens=5)]
    assert validated.draft.providers[0].timeouts == UpstreamTimeouts(idle_s=3)


def test_no_data_is_the_default_configuration():
    assert validate(None).draft == validate({}).draft == Config()


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        ([], ": expected a mapping, got a list"),
        ({"sever": {}}, 'sever: unknown key (did you mean "server"?)'),
        ({"workers": 1}, 'workers: unknown key (did you mean "server.workers"?)'),
        ({"banana": 1}, "banana: unknown key"),
        (
            changed("server", "workers", value="four"),
            'server.workers: expected an integer from 1 up to 256, got "four"',
        ),
        (
            changed("server", "workers", value=0),
            "server.workers: expected an integer from 1 up to 256, got 0",
        ),
        (
            changed("server", "workers", value=True),
            "server.workers: expected an integer from 1 up to 256, got true",
        ),
        (
            changed("server", "workers", value=2.0),
            "server.workers: expected an integer from 1 up to 256, got 2",
        ),
        (
            changed("routing", "ping_s", value=0),
            "routing.ping_s: expected a number above 0 and up to 86,400, got 0",
        ),
        (
            changed("routing", "ping_s", value=float("nan")),
            "routing.ping_s: expected a number above 0 and up to 86,400, got nan",
        ),
        (
            changed("logging", "level", value="debugg"),
            'logging.level: expected one of "debug", "error", "info", "warning", got "debugg" '
            '(did you mean "debug"?)',
        ),
        (
            changed("logging", "exchanges", value="no"),
            'logging.exchanges: expected true or false, got "no" (did you mean "false"?)',
        ),
        (
            changed("providers", 0, "name", value=12),
            "providers[0].name: expected 1 to 64 letters, digits, '.', '_' or '-', not starting "
            "with '._-', got 12; put it in quotes",
        ),
        (
            changed("providers", 0, "keys", 0, "key", value=123456789),
            "providers[0].keys[0].key: expected non-empty text, got a number; put it in quotes",
        ),
        (
            changed("providers", 0, "keys", 0, "key", value=""),
            "providers[0].keys[0].key: expected non-empty text, got empty text",
        ),
        (
            changed("providers", 0, "keys", value="x"),
            'providers[0].keys: expected a list, got text; write keys: [{key: "${VAR}"}]',
        ),
        (
            changed("providers", 0, "keys", value=None),
            'providers[0].keys: expected a list, got null; write keys: [{key: "${VAR}"}]',
        ),
        (
            changed("providers", 0, "model_mapping", "a-*", value=["b"]),
            'providers[0].model_mapping["a-*"]: expected text, got a list',
        ),
        (
            changed("providers", 0, "models", 0, value={"id": ""}),
            "providers[0].models[0].id: expected non-empty text, got empty text",
        ),
        (
            changed("providers", 0, "prices", "b", value={"input": 1}),
            "providers[0].prices.b.output: is missing",
        ),
        (
            changed("providers", 0, "prices", "b", value=3),
            "providers[0].prices.b: expected a mapping, got 3",
        ),
        (
            changed("routing", "models", "a-", value="one"),
            'routing.models.a-: expected a list, got "one"',
        ),
        (
            changed("routing", "rules", 0, "when", "request_class", 0, value="mian"),
            'routing.rules[0].when.request_class[0]: expected one of "background", "compaction", '
            '"count_tokens", "main", "subagent", "web-search", got "mian" (did you mean "main"?)',
        ),
        (
            changed("routing", "rules", 0, "use", "strategy", value="latency"),
            'routing.rules[0].use.strategy: expected one of "cost-based", "failover", '
            '"latency-based", "least-busy", "model-based", "round-robin", "simple-shuffle", '
            'got "latency" (did you mean "latency-based"?)',
        ),
        (changed("providers", 0, value={}), "providers[0].name: is missing"),
        (
            changed("providers", 0, "timeouts", value=3),
            "providers[0].timeouts: expected a mapping, got 3",
        ),
    ],
)
def test_each_error_is_one_finding(data, finding):
    assert findings(data) == [finding]


ENTRY = '; write keys: [{key: "${VAR}"}]'


@pytest.mark.parametrize(
    ("member", "value", "finding"),
    [
        ("keys", "x", f"keys: expected a list, got text{ENTRY}"),
        ("keys", ["x"], f"keys[0]: expected a mapping, got text{ENTRY}"),
        ("keys", [7], f"keys[0]: expected a mapping, got a number{ENTRY}"),
        ("keys", {"key": "x"}, f"keys: expected a list, got a mapping{ENTRY}"),
        ("keys", [{"name": "x"}], f"keys[0].key: is missing{ENTRY}"),
        ("api_key", "x", f'api_key: unknown key (did you mean "keys"?){ENTRY}'),
        ("apikey", "x", f'apikey: unknown key (did you mean "keys"?){ENTRY}'),
        ("keys", [{"key": "x", "api_key": "x"}], f'keys[0].api_key: unknown key ("key"?){ENTRY}'),
    ],
)
def test_what_an_entry_of_keys_looks_like_is_shown(member, value, finding):
    data = {"providers": [{"name": "p", member: value}]}
    expected = finding.replace('("key"?)', '(did you mean "key"?)')
    assert findings(data) == [f"providers[0].{expected}"]


@pytest.mark.parametrize("failed", [False, True])
def test_it_is_shown_for_an_expression_in_its_place(failed):
    path = ("providers", 0, "keys")
    data = {"providers": [{"name": "p", "keys": "canary"}]}
    (problem,) = validate(data, frozenset({path}), frozenset({path} if failed else ())).problems
    got = "text" if failed else "text from ${...}"
    assert problem.message == f"expected a list, got {got}{ENTRY}"


@pytest.mark.parametrize(
    ("providers", "place"),
    [
        ({"name": "a", "type": "zia", "keys": "canary"}, "providers"),
        ({"a": {"type": "zia", "keys": "canary"}}, "providers.a"),
    ],
)
def test_the_content_of_a_mapping_in_place_of_a_list_is_checked(providers, place):
    found = findings({"providers": providers})
    assert [line.partition(":")[0] for line in found] == [
        "providers",
        f"{place}.type",
        f"{place}.keys",
    ]
    assert "canary" not in "".join(found)


def test_the_example_has_the_format_of_the_file():
    data = {"providers": [{"name": "p", "keys": "x"}]}
    (problem,) = validate(data, is_toml=True).problems
    assert problem.message.endswith('; write keys = [{key = "${VAR}"}]')


def test_all_errors_are_found_and_the_rest_is_kept():
    data = changed("server", "workers", value=-1)
    data["providers"][0]["keys"].append({"api_key": "x"})
    data["providers"].append("text")
    data["routing"]["ping"] = 1
    validated = validate(data)
    assert {path_text(problem.path) for problem in validated.problems} == {
        "server.workers",
        "providers[0].keys[1].api_key",
        "providers[1]",
        "routing.ping",
    }
    assert validated.draft.server.workers == 1
    assert validated.draft.providers[0].keys[0].rpm_limit == 60
    assert len(validated.draft.providers) == 2
    assert ("providers", 0, "keys", 1, "key") in validated.invalid


def test_placeholders_have_the_type_of_their_section():
    data = changed("providers", 0, "prices", value={"b": 3, "c": {"input": "x", "output": 1}})
    data["routing"]["models"] = {"a": "one", "b": ["one"]}
    data["routing"]["rules"].append("text")
    draft = validate(data).draft
    assert draft.providers[0].prices == {
        "b": Price(input=0.0, output=0.0),
        "c": Price(input=0.0, output=1),
    }
    assert draft.routing.models == {"a": [], "b": ["one"]}
    assert draft.routing.rules[1] == Rule()


def test_no_finding_contains_text_values():
    canary = "canary-secret"
    data = {
        "server": {"auth": {"tokens": canary}, "workers": canary},
        "providers": [{"name": f"{canary} x", "type": canary, "auth": canary}, canary],
        "logging": canary,
    }
    assert len(findings(data)) == 7
    assert canary not in "".join(findings(data))


def test_a_null_section_is_the_default():
    assert validate({"server": None, "logging": None}).draft == Config()
    assert validate({"server": None}).problems == []


def test_expanded_values_are_rejected_for_non_text_settings():
    path = ("server", "workers")
    (problem,) = validate({"server": {"workers": "2"}}, frozenset({path})).problems
    assert problem.message == "${...} works in text values only"
    level = ("logging", "level")
    assert validate({"logging": {"level": "info"}}, frozenset({level})).problems == []


def test_a_failed_expansion_is_not_reported_again():
    path = ("providers", 0, "keys", 0, "key")
    data = {"providers": [{"name": "p", "keys": [{"key": ""}]}]}
    validated = validate(data, frozenset({path}), frozenset({path}))
    assert validated.problems == []
    assert path in validated.invalid


SECTIONS = ("server", "auth", "routing", "logging", "timeouts", "when", "use", "retry_budget")


def _accepted_by_msgspec(data: Any) -> bool:
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError:
        return False
    # A key may be left out where a credential stands in its place, which msgspec cannot tell.
    keys = [key for provider in config.providers for key in provider.keys]
    return all(key.key or key.credential is not None for key in keys)


def _places(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    members = list(node.items()) if isinstance(node, dict) else []
    members = list(enumerate(node)) if isinstance(node, list) else members
    below = [place for key, value in members for place in _places(value, (*path, key))]
    return ([path] if path else []) + below


@given(
    place=st.sampled_from(_places(GOOD)),
    value=st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 300),
        st.floats(-1, 90_000) | st.sampled_from([float("inf"), float("nan")]),
        st.sampled_from(["", "x", "info", "user", "none", "kimi", "a b"]),
        st.lists(st.sampled_from(["x", 1]), max_size=2),
        st.dictionaries(st.sampled_from(["name", "key", "id", "x"]), st.just("v"), max_size=2),
    ),
)
def test_validate_and_msgspec_accept_the_same_data(place, value):
    data = changed(*place, value=value)
    if value is None and place[-1] in SECTIONS:
        return  # the walk takes an empty section, on purpose
    assert (not validate(data).problems) == _accepted_by_msgspec(data)


@pytest.mark.parametrize("section", ["server", "routing", "health"])
def test_a_section_in_a_section_is_told_its_place(section):
    (problem,) = validate({section: {"providers": []}}).problems
    assert problem.message == 'unknown key; "providers" stands at the top level of the file'


def test_quotes_are_no_advice_where_they_would_not_do():
    (problem,) = validate({"server": {"listen": 8787}}).problems
    assert problem.message == 'expected HOST:PORT, such as "127.0.0.1:8787", got 8787'
