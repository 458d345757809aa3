"""The bridge makes what Claude Code itself sends to that cloud (tests/corpus/clouds/pairs)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ccrelay.errors import BadRequest, CannotServe
from ccrelay.providers.base import Outgoing
from ccrelay.providers.bridge import Applied, Surface, apply, plain_model
from ccrelay.providers.bridge_rows import ALL, STRICT
from ccrelay.types import RequestClass

PAIRS = Path(__file__).parents[2] / "corpus" / "clouds" / "pairs"
MODELS = {
    "azure": "claude-opus-5-5",
    "claude-aws": "claude-opus-5-5",
    "claude-google": "claude-opus-5-5",
    "mantle": "anthropic.claude-opus-5-5",
    "bedrock-messages": "us.anthropic.claude-opus-5-5",
    "bedrock-invoke": "us.anthropic.claude-opus-5-5",
    "vertex": "claude-opus-5-5",
}
Json = dict[str, Any]


@cache
def corpus() -> Json:
    return json.loads((PAIRS / "pairs.json").read_text())


def body_of(request: Json) -> Json:
    return {name: corpus()["values"][index] for name, index in request["body"].items()}


def bridged(
    surface: Surface,
    body: Json | bytes,
    *,
    betas: tuple[str, ...] = (),
    model: str = "",
    kind: RequestClass = RequestClass.MESSAGES,
    version: bytes = b"2023-06-01",
    dropped: frozenset[str] = frozenset(),
) -> tuple[Json, Applied]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    outgoing = Outgoing(
        raw, model or MODELS[surface], kind, stream=True, version=version, betas=betas
    )
    outgoing.dropped = dropped
    found = apply(surface, outgoing)
    return json.loads(found.body), found


def comparable(surface: str, body: Json) -> Json:
    """What is compared: see the corpus' README."""
    found = dict(body)
    if surface == "claude-aws":
        found.pop("system", None)
    elif isinstance(found.get("system"), list):
        found["system"] = [{k: v for k, v in b.items() if k != "text"} for b in found["system"]]
    if "anthropic_beta" in found:
        found["anthropic_beta"] = sorted(found["anthropic_beta"])
    return found


def named(pair: Json) -> str:
    return f"{pair['surface']}-{pair['scenario']}-{pair['model']}"


@pytest.mark.parametrize("pair", corpus()["pairs"], ids=named)
def test_the_result_is_what_the_client_itself_sends(pair: Json) -> None:
    first = corpus()["first_party"][pair["first_party"]]
    body, found = bridged(
        pair["surface"], body_of(first), betas=tuple(first["betas"]), model=pair["model"]
    )
    wanted = comparable(pair["surface"], body_of(pair))
    assert comparable(pair["surface"], body) == wanted
    assert sorted(found.betas) == sorted(pair["betas"])


@pytest.mark.parametrize("pair", corpus()["counts"], ids=named)
def test_counts_are_what_the_client_itself_sends(pair: Json) -> None:
    first = corpus()["first_party"][pair["first_party"]]
    body, found = bridged(
        pair["surface"],
        body_of(first),
        betas=tuple(first["betas"]),
        model=pair["model"],
        kind=RequestClass.COUNT_TOKENS,
    )
    assert body | {"tools": 0} == body_of(pair) | {"tools": 0}
    assert sorted(found.betas) == sorted(pair["betas"])


def plain_name(model: str) -> str:
    """`us.anthropic.claude-opus-4-6-v1` -> claude-opus-4-6."""
    model = model.rpartition("anthropic.")[2].replace("@", "-")
    return model.removesuffix("-v1:0").removesuffix("-v1")


@pytest.mark.parametrize(
    "row",
    json.loads((PAIRS / "matrix.json").read_text()),
    ids=lambda row: f"{row['mode']}-{row['model']}",
)
def test_every_model_gets_the_clients_betas_and_members(row: Json) -> None:
    first = corpus()["first_party"].get(f"plain/{plain_name(row['model'])}")
    if first is None:
        assert row["model"].startswith("arn:")  # the client knows nothing of its model
        return
    body, found = bridged(
        row["mode"], body_of(first), betas=tuple(first["betas"]), model=row["model"]
    )
    assert sorted(found.betas) == sorted(row["header_betas"])
    assert sorted(body.get("anthropic_beta", [])) == sorted(row["body_betas"] or [])
    assert sorted(body) == sorted(row["body_keys"])
    for name in ("thinking", "output_config", "context_management"):
        assert body.get(name) == row[name], name
    turns = [turn for turn in body["messages"] if turn["role"] == "system"]
    assert len(turns) == row["system_turns_in_messages"]
    assert any("output_config" in turn for turn in turns) is row["message_level_output_config"]
    assert len(body["tools"]) == row["tools"]
    assert sum("defer_loading" in tool for tool in body["tools"]) == row["deferred_tools"]


# --- bytes --------------------------------------------------------------------------------------

ODD = (
    b'{ "model" : "claude-opus-5-5","max_tokens":1e2, "messages":[ {"role":"user",  "content":'
    b'[{"type":"text","text":"\\u0041\\/ \\ud83d\\ude00","big":123456789012345678901234567890}]},'
    b'{"role":"assistant","content":[{"type":"thinking","thinking":"1.0","signature":"E\\u0067" }'
    b',{"type":"tool_use","id":"t","name":"f","input":{"n":1.0,"e":1e400, "z":-0}}]} ] ,'
    b'"system":[ {"text":"a\\tb" ,"type":"text"}],"tools":[{"name":"f","input_schema":{ }}]}'
)


@pytest.mark.parametrize("surface", ALL)
def test_untouched_values_keep_their_bytes(surface: Surface) -> None:
    _, found = bridged(surface, ODD)
    for value in (
        b'[ {"role":"user",  "content":[{"type":"text","text":"\\u0041\\/ \\ud83d\\ude00",'
        b'"big":123456789012345678901234567890}]},',
        b'"signature":"E\\u0067" }',
        b'{"n":1.0,"e":1e400, "z":-0}',
        b'[ {"text":"a\\tb" ,"type":"text"}]',
        b'[{"name":"f","input_schema":{ }}]',
        b"1e2",
    ):
        assert value in found.body


@pytest.mark.parametrize("surface", ALL)
def test_an_edited_turn_leaves_the_others_alone(surface: Surface) -> None:
    body = ODD.replace(
        b'"messages":[',
        b'"messages":[{"role":"system","content":"x","output_config":{"effort":"low"}},',
    )
    _, found = bridged(surface, body)
    assert (b"effort" in found.body) is (surface not in STRICT)
    assert b'"signature":"E\\u0067" }' in found.body
    assert b'{"n":1.0,"e":1e400, "z":-0}' in found.body


@pytest.mark.parametrize("surface", STRICT)
@pytest.mark.parametrize("content", [[], "", None, "absent"], ids=str)
def test_a_system_turn_that_only_sets_the_effort_goes_with_it(
    surface: Surface, content: object
) -> None:
    """As `claude --bare` sends it; an empty turn is refused."""
    turn: Json = {"role": "system", "output_config": {"effort": "low"}, "content": content}
    if content == "absent":
        del turn["content"]
    user = {"role": "user", "content": "hi"}
    body, found = bridged(surface, PLAIN | {"messages": [user, turn]})
    assert body["messages"] == [user]
    assert found.left_out == ("per_turn_control",)


@pytest.mark.parametrize("surface", ALL)
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"a":', b"\xff", b'"x"', b"[" * 5000])
def test_what_is_no_object_is_a_bad_request(surface: Surface, body: bytes) -> None:
    with pytest.raises(BadRequest):
        bridged(surface, body)


WRONG: tuple[object, ...] = (None, True, 1, 1.5, "x", [], {}, [[]], [{}], {"type": []}, [None, 1])


@pytest.mark.parametrize("surface", ALL)
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_types_are_left_to_the_provider(surface: Surface, wrong: object) -> None:
    names = (
        *("messages", "system", "tools", "thinking", "output_config", "context_management"),
        *("betas", "anthropic_beta", "anthropic_version", "metadata", "cache_control", "stream"),
        *("output_format", "model", "max_tokens", "tool_choice"),
    )
    for name in names:
        bridged(surface, {"model": "claude-opus-5-5", "messages": [], name: wrong})
    for turn in ("role", "content", "output_config"):
        bridged(surface, {"messages": [{"role": "user", "content": "x", turn: wrong}, wrong]})
    for part in ("type", "source", "cache_control", "content", "tool_name"):
        block = {"type": "tool_result", "content": [{"type": "text", part: wrong}], part: wrong}
        bridged(surface, {"messages": [{"role": "user", "content": [block, wrong]}]})
    for member in ("type", "name", "defer_loading", "cache_control", "strict"):
        bridged(surface, {"tools": [{"name": "WebSearch", member: wrong}, wrong]})


# --- model, stream, version ---------------------------------------------------------------------

PLAIN: Json = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [], "stream": True}


@pytest.mark.parametrize("surface", ALL)
def test_model_and_stream(surface: Surface) -> None:
    body, _ = bridged(surface, PLAIN)
    in_path = surface in ("bedrock-invoke", "vertex")
    assert body.get("model") == (None if in_path else MODELS[surface])
    assert body.get("stream") is (None if surface == "bedrock-invoke" else True)
    counted, _ = bridged(surface, PLAIN, kind=RequestClass.COUNT_TOKENS)
    assert counted.get("model") == (None if surface == "bedrock-invoke" else MODELS[surface])


def test_the_suffix_of_a_long_context_stays_here() -> None:
    assert plain_model("claude-sonnet-4-5[1M]") == "claude-sonnet-4-5"
    body, found = bridged("mantle", PLAIN, model="anthropic.claude-sonnet-4-5[1m]")
    assert body["model"] == "anthropic.claude-sonnet-4-5"
    assert found.betas == ("context-1m-2025-08-07",)


NEW = b"2026-10-21"


@pytest.mark.parametrize(
    ("surface", "model", "extra", "wanted"),
    [
        ("azure", "", {}, b"2026-10-21"),
        ("mantle", "", {}, b"2026-10-21"),
        ("mantle", "anthropic.claude-sonnet-4-5", {}, b"2023-06-01"),
        ("bedrock-messages", "us.anthropic.claude-haiku-4-5-20251001-v1:0", {}, b"2023-06-01"),
        ("claude-aws", "", {"temperature": 1}, b"2023-06-01"),
        ("bedrock-invoke", "", {}, "2026-10-21"),
        ("bedrock-invoke", "x-v1:0", {}, "bedrock-2023-05-31"),
        ("bedrock-invoke", "", {"top_k": 4}, "bedrock-2023-05-31"),
        ("vertex", "", {}, "2026-10-21"),
        ("vertex", "", {"top_p": 0.5}, "vertex-2023-10-16"),
        (
            "vertex",
            "",
            {"messages": [{"role": "assistant", "content": [{"type": "document"}]}]},
            "vertex-2023-10-16",
        ),
        (
            "claude-google",
            "",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "x", "citations": [{"type": "a"}]}],
                    }
                ]
            },
            b"2023-06-01",
        ),
    ],
)
def test_the_new_version_goes_where_it_is_and_is_legal(
    surface: Surface, model: str, extra: Json, wanted: bytes | str
) -> None:
    body, found = bridged(surface, PLAIN | extra, model=model, version=NEW)
    if isinstance(wanted, bytes):
        assert found.version == wanted
        assert "anthropic_version" not in body
    else:
        assert found.version == b""
        assert body["anthropic_version"] == wanted


def test_a_version_that_a_cloud_cannot_know_is_not_guessed() -> None:
    with pytest.raises(CannotServe, match="2027-01-01"):
        bridged("vertex", PLAIN, version=b"2027-01-01")
    assert bridged("azure", PLAIN, version=b"2027-01-01")[1].version == b"2027-01-01"
    assert bridged("azure", PLAIN, version=b"")[1].version == b"2023-06-01"


# --- betas --------------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", ALL)
def test_unknown_betas_and_members_pass_only_where_they_do_no_harm(surface: Surface) -> None:
    body, found = bridged(surface, PLAIN | {"fancy": 1}, betas=("fancy-2027-01-01",))
    passes = surface not in STRICT
    assert ("fancy" in body) is passes
    assert ("fancy-2027-01-01" in found.betas) is passes
    assert found.left_out == (() if passes else ("member:fancy", "beta:fancy-2027-01-01"))


@pytest.mark.parametrize("surface", ALL)
def test_disabled_thinking_is_left_out_as_the_client_does(surface: Surface) -> None:
    # MAX_THINKING_TOKENS=0, and the side call of a web search: recorded in all seven modes.
    body, found = bridged(surface, {"thinking": {"type": "disabled"}}, model="claude-sonnet-4-5")
    assert "thinking" not in body
    assert found.left_out == ("thinking_disabled",)


@pytest.mark.parametrize("surface", ALL)
def test_the_beta_of_a_compaction_goes_where_the_client_sends_it(surface: Surface) -> None:
    # `/compact` in all seven modes: in the header, on bedrock-invoke also in the list.
    beta = "fallback-credit-2026-06-01"
    body, found = bridged(surface, {}, betas=(beta,))
    assert beta in found.betas
    assert (beta in body.get("anthropic_beta", [])) is (surface == "bedrock-invoke")


@pytest.mark.parametrize("surface", ["bedrock-messages", "bedrock-invoke", "vertex"])
@pytest.mark.parametrize(
    "asked", [None, {}, {"edits": []}, {"edits": None}, {"edits": [{"type": "clear_thinking_1"}]}]
)
def test_context_management_without_an_edit_goes_with_its_beta(
    surface: Surface, asked: object
) -> None:
    beta = "context-management-2025-06-27"
    body, found = bridged(surface, {"context_management": asked}, betas=(beta,))
    assert "context_management" not in body
    assert beta not in (*found.betas, *body.get("anthropic_beta", ()))
    body, found = bridged("mantle", {"context_management": asked}, betas=(beta,))
    assert ("context_management" in body) is ("clear_thinking_1" in str(asked))
    assert found.betas == (beta,)  # which the client sends there always


@pytest.mark.parametrize("surface", STRICT)
def test_tool_uses_are_cleared_where_that_is_known(surface: Surface) -> None:
    beta = "context-management-2025-06-27"
    asked = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    body, found = bridged(surface, {"context_management": asked}, betas=(beta,))
    sent = beta in (*found.betas, *body.get("anthropic_beta", ()))
    assert ("context_management" in body) is sent is (surface != "vertex")


@pytest.mark.parametrize(
    ("thinking", "least"),
    [
        ({"type": "enabled", "budget_tokens": 16000}, 16001),
        ({"type": "enabled", "budget_tokens": "16000"}, 1),
        ({"type": "enabled", "budget_tokens": -5}, 1),
        ({"type": "enabled", "budget_tokens": 10**20}, 1),
        ({"type": "adaptive"}, 1),
        (None, 1),
        ([], 1),
    ],
    ids=str,
)
def test_a_count_on_bedrock_has_room_for_the_budget(thinking: object, least: int) -> None:
    body, _ = bridged(
        "bedrock-invoke",
        {"thinking": thinking},
        model="us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        kind=RequestClass.COUNT_TOKENS,
    )
    assert body["max_tokens"] == least


def test_a_count_on_vertex_has_the_betas_that_it_takes() -> None:
    betas = ("claude-code-20250219", "interleaved-thinking-2025-05-14", "token-counting-2024-11-01")
    refused = (
        *("web-search-2025-03-05", "effort-2025-11-24", "thinking-token-count-2026-05-13"),
        *("thinking-display-updates-2026-08-18", "context-management-2025-06-27"),
    )
    asked = {
        "output_config": {"effort": "low"},
        "thinking": {"type": "adaptive", "display": "updates"},
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    }
    body, found = bridged("vertex", asked, betas=betas + refused, kind=RequestClass.COUNT_TOKENS)
    assert found.betas == betas
    assert "output_config" not in body
    assert body["thinking"] == {"type": "adaptive"}
    assert body["tools"] == asked["tools"]


@pytest.mark.parametrize("surface", ALL)
def test_a_subscriptions_beta_goes_nowhere(surface: Surface) -> None:
    _, found = bridged(surface, PLAIN, betas=("oauth-2025-04-20",))
    assert found.betas == ()


def test_betas_in_the_body_count_and_none_is_sent_twice() -> None:
    sent = PLAIN | {"betas": ["context-1m-2025-08-07"], "anthropic_beta": ["x-2027-01-01", 1]}
    twice = ("context-1m-2025-08-07", "context-1m-2025-08-07")
    body, found = bridged("azure", sent, betas=twice)
    assert found.betas == ("context-1m-2025-08-07",)
    assert not {"betas", "anthropic_beta"} & body.keys()


def test_a_beta_cannot_end_its_line() -> None:
    hostile = ["a\r\nx: y", "a,b", "\u00e9", "", "x" * 200, "a b"]
    for surface in ALL:
        body, found = bridged(surface, PLAIN | {"betas": hostile}, betas=("ok\n",))
        assert found.betas == ()
        assert "anthropic_beta" not in body


def test_a_list_that_is_empty_gets_the_betas_of_the_header() -> None:
    body, found = bridged("bedrock-invoke", PLAIN, betas=("claude-code-20250219",))
    assert body["anthropic_beta"] == ["claude-code-20250219"]
    assert found.betas == ("claude-code-20250219",)
    assert "anthropic_beta" not in bridged("bedrock-invoke", PLAIN)[0]


# --- what was learned -----------------------------------------------------------------------------

RICH: Json = PLAIN | {
    "system": "s",
    "thinking": {"type": "adaptive", "display": "updates"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "low"},
    "tools": [
        {"name": "a", "input_schema": {}, "defer_loading": True, "strict": True},
        {"name": "DeferredToolPlaceholder", "input_schema": {}, "defer_loading": True},
    ],
    "messages": [
        {"role": "user", "content": "x"},
        {"role": "system", "content": "y", "output_config": {"effort": "low"}},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "tool_reference", "tool_name": "a"}],
                }
            ],
        },
    ],
}
RICH_BETAS = (
    *("claude-code-20250219", "context-management-2025-06-27", "effort-2025-11-24"),
    *("thinking-display-updates-2026-08-18", "advanced-tool-use-2025-11-20"),
    "per-turn-control-2026-07-01",
)


def learned(*names: str, surface: Surface = "azure") -> tuple[Json, Applied]:
    return bridged(surface, RICH, betas=RICH_BETAS, dropped=frozenset(names))


def test_both_halves_of_a_learned_feature_vanish() -> None:
    body, found = learned("context_management")
    assert "context_management" not in body
    assert "context-management-2025-06-27" not in found.betas
    body, found = learned("thinking_display", "effort")
    assert body["thinking"] == {"type": "adaptive"}
    assert "output_config" not in body
    assert not {"effort-2025-11-24", "thinking-display-updates-2026-08-18"} & set(found.betas)
    body, found = learned("per_turn_control")
    assert not any("output_config" in turn for turn in body["messages"])
    assert "per-turn-control-2026-07-01" not in found.betas


@pytest.mark.parametrize("surface", ALL)
def test_without_tool_search_its_tools_are_inline(surface: Surface) -> None:
    body, found = learned("tool_search", surface=surface)
    assert [tool["name"] for tool in body["tools"]] == ["a"]
    assert "defer_loading" not in body["tools"][0]
    (result,) = body["messages"][2]["content"]
    assert result["content"] == [{"type": "text", "text": "a"}]
    sent = {*found.betas, *body.get("anthropic_beta", [])}
    assert not {"advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19"} & sent


def test_single_names_are_left_out() -> None:
    body, found = learned("beta:effort-2025-11-24", "member:metadata", "tool-member:strict")
    assert "effort-2025-11-24" not in found.betas
    assert "strict" not in body["tools"][0]
    body, found = learned("beta:tool-search-tool-2025-10-19", surface="mantle")
    assert "tool-search-tool-2025-10-19" not in found.betas
    assert learned("turn:output_config")[0]["messages"][1] == {"role": "system", "content": "y"}


def test_betas_that_are_not_known_can_go_together() -> None:
    sent = (*RICH_BETAS, "x-2027-01-01", "y-2027-01-01")
    _, found = bridged("azure", RICH, betas=sent, dropped=frozenset({"beta:*"}))
    assert {*RICH_BETAS} <= {*found.betas}
    assert not {"x-2027-01-01", "y-2027-01-01"} & {*found.betas}
    assert found.left_out == ("beta:x-2027-01-01", "beta:y-2027-01-01")


def test_learned_settings_of_thinking() -> None:
    assert learned("adaptive_thinking")[0].keys() & {"thinking", "context_management"} == set()
    body, _ = bridged(
        "mantle",
        PLAIN | {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        dropped=frozenset({"thinking_budget"}),
    )
    assert body["thinking"] == {"type": "adaptive"}


def test_learned_system_turns_are_folded() -> None:
    body, found = learned("system_turns")
    assert [turn["role"] for turn in body["messages"]] == ["user", "user"]
    assert "system_turns" in found.left_out


@pytest.mark.parametrize("name", ["messages", "model", "tools", "system", "max_tokens", "stream"])
def test_nothing_essential_is_left_out(name: str) -> None:
    body, _ = learned(f"member:{name}")
    assert name in body


def test_what_a_request_needs_is_refused_once_it_is_known_to_be_missing() -> None:
    format_ = {"output_config": {"format": {"type": "json_schema", "schema": {}}}}
    with pytest.raises(CannotServe, match="output format"):
        bridged("mantle", PLAIN | format_, dropped=frozenset({"structured_outputs"}))
    with pytest.raises(CannotServe, match="thing_20270101"):
        bridged(
            "azure",
            PLAIN | {"tools": [{"type": "thing_20270101"}]},
            dropped=frozenset({"tool:thing_20270101"}),
        )
