"""Which variables a relay's routes ask for, one row per case."""

from typing import NamedTuple

import pytest

from ccrelay.cli import client_environment as variables
from ccrelay.cli.client_environment import (
    ANY_TOKEN,
    API_KEY,
    ATTRIBUTION,
    AUTH_TOKEN,
    BASE_URL,
    COMPACT_WINDOW,
    DISCOVERY,
    FAMILIES,
    FINE_GRAINED,
    FIRST_PARTY,
    MODEL,
    TOOL_SEARCH,
    UNKNOWN_WINDOW,
    Variable,
    decide,
    environment,
)
from ccrelay.cli.client_facts import Facts, RouteProvider
from ccrelay.cli.client_project import HEADERS
from ccrelay.providers import bridge_features
from ccrelay.providers.bridge_table import ROWS

URL = "http://127.0.0.1:8787"
LOGIN = RouteProvider("login", "anthropic", "https://api.anthropic.com", has_keys=False,
                      models=("claude-*",))  # fmt: skip
TEAM = LOGIN._replace(name="team", has_keys=True)
NAMED = TEAM._replace(name="named", models=("claude-*", "claude-opus-5-5"))
GATEWAY = TEAM._replace(name="gateway", base_url="https://gateway.test")
VERTEX = RouteProvider("vertex", "vertex", models=("claude-*",))
AZURE = RouteProvider("azure", "azure", models=("claude-*",))
MANTLE = RouteProvider("mantle", "bedrock", api="mantle", models=("claude-*",))
INVOKE = MANTLE._replace(name="invoke", api="invoke")
ZAI = RouteProvider(
    "zai",
    "zai",
    mapping={"claude-haiku-*": "glm-4.6"},
    models=("glm-*", "glm-4.6"),
    windows={"glm-4.6": 131_072},
)
GLM = ZAI._replace(name="glm", mapping={})
STRICT = RouteProvider("strict", "compatible", drop_betas=("*",), models=("*",))
OLLAMA = RouteProvider("ollama", "ollama", models=())


class Case(NamedTuple):
    """Providers, and what is set besides the address and a token that any relay takes."""

    providers: tuple[RouteProvider, ...]
    expected: dict[str, str]


SEARCHES = {TOOL_SEARCH: "true"}
EAGER = {FINE_GRAINED: "1"}
NOT_ANTHROPIC = {ATTRIBUTION: "0"}
ANYTHING = {AUTH_TOKEN: ANY_TOKEN}
CASES = {
    "a login": Case((LOGIN,), {FIRST_PARTY: "1", **SEARCHES}),
    "a key": Case((TEAM,), {FIRST_PARTY: "1", **SEARCHES, **ANYTHING}),
    "its port written out": Case(
        (TEAM._replace(base_url="https://api.anthropic.com:443"),),
        {FIRST_PARTY: "1", **SEARCHES, **ANYTHING},
    ),
    "no discovery where it is not asked": Case(
        (NAMED,), {FIRST_PARTY: "1", **SEARCHES, **ANYTHING}
    ),
    "plain http": Case(
        (TEAM._replace(base_url="http://api.anthropic.com"),), {**SEARCHES, **EAGER, **ANYTHING}
    ),
    "a name that looks alike": Case(
        (TEAM._replace(base_url="https://api.anthropic.com.test"),),
        {**SEARCHES, **EAGER, **ANYTHING},
    ),
    "betas left out": Case(
        (TEAM._replace(drop_betas=("context-1m-2025-08-07",)),),
        {**SEARCHES, **EAGER, **ANYTHING},
    ),
    "headers left out": Case(
        (TEAM._replace(drops_headers=True),), {**SEARCHES, **EAGER, **ANYTHING}
    ),
    "a gateway": Case((GATEWAY,), {**SEARCHES, **EAGER, **ANYTHING}),
    "a gateway beside Anthropic": Case((TEAM, GATEWAY), {**SEARCHES, **EAGER, **ANYTHING}),
    "names for /model": Case(
        (NAMED, GATEWAY), {**SEARCHES, **EAGER, **ANYTHING, DISCOVERY: "1"}
    ),
    "a provider's own list": Case(
        (GATEWAY._replace(discovers=True),), {**SEARCHES, **EAGER, **ANYTHING, DISCOVERY: "1"}
    ),
    "vertex": Case((VERTEX,), {**SEARCHES, **EAGER, **NOT_ANTHROPIC, **ANYTHING}),
    "azure": Case((AZURE,), {**SEARCHES, **EAGER, **NOT_ANTHROPIC, **ANYTHING}),
    "mantle": Case((MANTLE,), {**SEARCHES, **EAGER, **NOT_ANTHROPIC, **ANYTHING}),
    "invoke": Case((INVOKE,), {**SEARCHES, **EAGER, **NOT_ANTHROPIC, **ANYTHING}),
    "anthropic and vertex": Case((TEAM, VERTEX), {**SEARCHES, **EAGER, **ANYTHING}),
    "a mapped model": Case(
        (ZAI,),
        {**NOT_ANTHROPIC, **ANYTHING, UNKNOWN_WINDOW: "131072", COMPACT_WINDOW: "131072"},
    ),
    "a mapped model behind Anthropic": Case(
        (LOGIN, ZAI), {UNKNOWN_WINDOW: "131072", COMPACT_WINDOW: "131072"}
    ),
    "no Claude model": Case(
        (GLM,),
        {
            **NOT_ANTHROPIC, **ANYTHING, UNKNOWN_WINDOW: "131072",
            MODEL: "glm-4.6", **dict.fromkeys(FAMILIES, "glm-4.6"),
        },
    ),
    "no Claude model, and no name": Case(
        (GLM._replace(models=("glm-*",), windows={}),), {**NOT_ANTHROPIC, **ANYTHING}
    ),
    "no betas": Case((STRICT,), {TOOL_SEARCH: "false", **NOT_ANTHROPIC, **ANYTHING}),
    "fine-grained streaming left out": Case(
        (GATEWAY._replace(drop_betas=("fine-grained-tool-streaming-2025-05-14",)),),
        {**SEARCHES, **ANYTHING},
    ),
    "local models": Case((OLLAMA,), {**NOT_ANTHROPIC, **ANYTHING}),
    "nothing": Case((), {**NOT_ANTHROPIC, **ANYTHING}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_set(case: Case) -> None:
    found = decide(Facts(URL, case.providers), {})
    assert environment(found) == {BASE_URL: URL, **case.expected}
    assert all(variable.reason for variable in found)
    names = [variable.name for variable in found]
    assert len(names) == len(set(names))


def one(name: str, found: list[Variable]) -> Variable:
    return next(variable for variable in found if variable.name == name)


@pytest.mark.parametrize(
    ("providers", "given", "token", "expected", "header"),
    [
        ((TEAM,), {}, "relay-token", "relay-token", None),
        ((TEAM,), {API_KEY: "own"}, "relay-token", "relay-token", None),
        ((TEAM,), {}, None, None, None),
        ((LOGIN,), {}, "relay-token", None, "x-api-key: relay-token"),
        ((LOGIN, ZAI), {}, "relay-token", None, "x-api-key: relay-token"),
        ((LOGIN,), {API_KEY: "own"}, "relay-token", "relay-token", None),
    ],
)
def test_a_relay_token_has_a_header_of_its_own(
    providers: tuple[RouteProvider, ...],
    given: dict[str, str],
    token: str | None,
    expected: str | None,
    header: str | None,
) -> None:
    found = environment(decide(Facts(URL, providers, wants_token=True, token=token), given))
    assert found.get(AUTH_TOKEN) == expected
    assert found.get(HEADERS) == header


def test_a_credential_of_the_user_is_enough_where_any_is() -> None:
    for name in (API_KEY, AUTH_TOKEN):
        assert AUTH_TOKEN not in environment(decide(Facts(URL, (TEAM,)), {name: "own"}))


def test_variables_of_the_user_win_over_all_but_the_address() -> None:
    given = {BASE_URL: "https://gateway.test", TOOL_SEARCH: "auto", FIRST_PARTY: "0", MODEL: "m"}
    found = decide(Facts(URL, (TEAM,)), given)
    assert environment(found) == {BASE_URL: URL, AUTH_TOKEN: ANY_TOKEN}
    assert one(TOOL_SEARCH, found) == Variable(
        TOOL_SEARCH, "auto", "yours; ccrelay would set true", is_given=True
    )
    assert one(MODEL, found).reason == "yours; ccrelay would leave it unset"


def test_a_token_of_the_user_wins_and_ours_is_not_told() -> None:
    facts = Facts(URL, (TEAM,), wants_token=True, token="relay-token")
    found = one(AUTH_TOKEN, decide(facts, {AUTH_TOKEN: "own"}))
    assert found.is_given
    assert "relay-token" not in found.reason


def test_the_project_stands_beside_headers_of_the_user() -> None:
    found = environment(decide(Facts(URL, (TEAM,)), {HEADERS: "x-a: 1"}, "shop"))
    assert found[HEADERS] == "x-a: 1\nx-ccrelay-project: shop"
    assert HEADERS not in environment(decide(Facts(URL, (TEAM,)), {HEADERS: "x-a: 1"}))


def test_the_smallest_window_of_a_name_counts() -> None:
    wide = ZAI._replace(name="wide", windows={"glm-4.6": 1_000_000})
    for providers in ((ZAI, wide), (wide, ZAI)):
        found = environment(decide(Facts(URL, providers), {}))
        assert found[UNKNOWN_WINDOW] == found[COMPACT_WINDOW] == "131072"
    found = environment(decide(Facts(URL, (wide,)), {}))
    assert found[UNKNOWN_WINDOW] == "1000000"
    assert COMPACT_WINDOW not in found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"NO_PROXY": "internal.test"}, {}),
        ({"HTTPS_PROXY": "http://p.test"}, {"NO_PROXY": "127.0.0.1"}),
        ({"http_proxy": "p", "NO_PROXY": "a, b"}, {"NO_PROXY": "a,b,127.0.0.1"}),
        ({"http_proxy": "p", "no_proxy": "a", "NO_PROXY": "b"}, {"no_proxy": "a,127.0.0.1"}),
        ({"http_proxy": "p", "NO_PROXY": "127.0.0.1"}, {}),
        ({"http_proxy": "p", "NO_PROXY": "*"}, {}),
    ],
)  # fmt: skip
def test_a_proxy_does_not_stand_before_the_relay(
    given: dict[str, str], expected: dict[str, str]
) -> None:
    found = environment(decide(Facts(URL, (TEAM,)), given))
    assert {name: one for name, one in found.items() if name.lower() == "no_proxy"} == expected


def test_a_window_that_claude_code_does_not_take_is_told() -> None:
    small = ZAI._replace(windows={"glm-4.6": 32_768})
    found = decide(Facts(URL, (small,)), {})
    assert "100000 at least" in one(COMPACT_WINDOW, found).reason
    assert "at least" not in one(UNKNOWN_WINDOW, found).reason
    assert "at least" not in one(COMPACT_WINDOW, decide(Facts(URL, (ZAI,)), {})).reason


# Clouds by what stands in `type` and `api`: the surfaces of the table of dialects.
SURFACES = {
    "azure": ("azure", ""),
    "claude-aws": ("claude-aws", ""),
    "claude-google": ("claude-google", ""),
    "mantle": ("bedrock", "mantle"),
    "bedrock-messages": ("bedrock", "messages"),
    "bedrock-invoke": ("bedrock", "invoke"),
    "vertex": ("vertex", ""),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_what_a_cloud_bears_is_what_the_table_of_dialects_says(surface: str) -> None:
    names = {feature.name: feature for feature in bridge_features.FEATURES}
    assert variables.ADVANCED_TOOL_USE in names["tool_search"].betas
    assert variables.FINE_GRAINED_BETA in names["eager_streaming"].betas
    kind, api = SURFACES[surface]
    provider = RouteProvider("one", kind, api=api, models=("claude-*",))
    found = environment(decide(Facts(URL, (provider,)), {}))
    assert (TOOL_SEARCH in found) == keeps(surface, "tool_search", "tool-member:defer_loading")
    eager = keeps(surface, "eager_streaming", "tool-member:eager_input_streaming")
    assert (FINE_GRAINED in found) == eager


def keeps(surface: str, feature: str, part: str) -> bool:
    """Whether the last row for a part says so; without a row the near clouds keep all."""
    rows = [
        row
        for row in ROWS
        if row.feature == feature
        and surface in row.surfaces
        and not row.models
        and row.part in ("", "body", part)
        and row.action in ("keep", "drop", "refuse")
    ]
    near = surface in ("azure", "claude-aws", "claude-google")
    return rows[-1].action == "keep" if rows else near
