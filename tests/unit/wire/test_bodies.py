import pytest
from msgspec import Raw

from ccrelay.errors import BadRequest
from ccrelay.wire import bodies, surrogates

ODD = b'{"n": 12345678901234567890, "f":1.0,"e":1e400 , "s":"\\u0041\\/", "l":[ ]}'


def fold(messages: bytes) -> bytes:
    return bytes(bodies.fold_system_turns(Raw(messages)))


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b'{"a":1}x', b'{"a":' + b"[" * 99_999])
def test_a_body_that_is_not_an_object_is_rejected(body: bytes) -> None:
    with pytest.raises(BadRequest):
        bodies.read_body(body)


def test_untouched_values_stay_byte_for_byte() -> None:
    top = bodies.read_body(b' {"model" : "a" ,"odd":%b,"z":null}\n' % ODD)
    top["model"] = bodies.json_string("b")
    assert bytes(bodies.write(top)) == b'{"model":"b","odd":%b,"z":null}' % ODD


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (rb"cut \ud83d", rb"cut \ufffd"),
        (rb"\uDC00 tail", rb"\ufffd tail"),
        (rb"\ud83d\ude00 \ud83d", rb"\ud83d\ude00 \ufffd"),
        (rb"\\ud83d \ud83d", rb"\\ud83d \ufffd"),
        (rb"\\\ud83d", rb"\\\ufffd"),
        (rb"\\ud83d\ude00", rb"\\ud83d\ufffd"),
        (rb"\ud83d\ud83d\ude00", rb"\ufffd\ud83d\ude00"),
    ],
)
def test_only_lone_surrogates_are_replaced(text: bytes, mended: bytes) -> None:
    top = bodies.read_body(b'{"a":"%b","odd":%b}' % (text, ODD))
    assert bytes(top["a"]) == b'"%b"' % mended
    assert bytes(top["odd"]) == ODD


def test_too_many_lone_surrogates_are_rejected() -> None:
    body = b'{"a":"%b"}' % (rb"\ud83d" * (surrogates.SURROGATES_MAX + 1))
    with pytest.raises(BadRequest):
        bodies.read_body(body)


def test_drop_members_ignores_absent_names() -> None:
    top = bodies.read_body(b'{"a":1,"b":2}')
    bodies.drop_members(top, ["a", "missing"])
    assert bytes(bodies.write(top)) == b'{"b":2}'


def test_splice_member_changes_only_the_span() -> None:
    body = b'{"model" : "old", "n":1.0}'
    assert bodies.splice_member(body, (11, 16), b'"newer"') == b'{"model" : "newer", "n":1.0}'


def test_an_unchanged_array_is_the_same_object() -> None:
    array = Raw(b"[1, 2 ]")
    assert bodies.map_items(array, lambda item: item) is array
    value = Raw(b'{"a": 1}')
    assert bodies.map_member(value, "a", lambda member: member) is value
    assert bodies.map_member(value, "b", lambda member: None) is value


def test_items_can_be_replaced_and_dropped() -> None:
    edits = {b"1": None, b"2": Raw(b"20")}
    edited = bodies.map_items(Raw(b"[1,2, 1e400]"), lambda item: edits.get(bytes(item), item))
    assert bytes(edited) == b"[20,1e400]"


def test_a_replaced_member_keeps_its_position() -> None:
    edited = bodies.map_member(Raw(b'{"a":1,"b":2,"c":1.0}'), "b", lambda _: Raw(b"3"))
    assert bytes(edited) == b'{"a":1,"b":3,"c":1.0}'


@pytest.mark.parametrize("value", [b"5", b'"s"', b"null", b"[1]"])
def test_values_of_another_type_are_left_alone(value: bytes) -> None:
    raw = Raw(value)
    assert bodies.map_member(raw, "a", lambda _: None) is raw
    assert bodies.fold_system_turns(raw) is raw
    if value[:1] != b"[":
        assert bodies.map_items(raw, lambda _: None) is raw


def test_a_tool_member_is_dropped_only_with_the_given_value() -> None:
    tools = Raw(b'[{"type":"custom","name":"a"},{"type":"web_search_20250305"},{"name":"b"},7]')
    assert bytes(bodies.drop_tool_member(tools, "type", b'"custom"')) == (
        b'[{"name":"a"},{"type":"web_search_20250305"},{"name":"b"},7]'
    )
    assert bytes(bodies.drop_tool_member(tools, "type")) == b'[{"name":"a"},{},{"name":"b"},7]'


def test_convert_blocks_visits_blocks_inside_tool_results() -> None:
    seen: list[str] = []

    def convert(kind: str, block: Raw) -> Raw:
        seen.append(kind)
        return Raw(b"{}") if kind == "old" else block

    messages = (
        b'[{"role":"user","content":[{"type":"text","text":"a"},'
        b'{"type":"tool_result","x":1.0,"content":[{"type":"old"},{"type":"text"}]}, 5]},'
        b'{"role":"user","content":"plain"}, 7, {"role":"user","content":[{"type": 1}]}]'
    )
    edited = bytes(bodies.convert_blocks(Raw(messages), convert))
    assert seen == ["text", "old", "text"]
    assert edited == messages.replace(b'{"type":"old"}', b"{}").replace(b", ", b",")


def test_unconverted_blocks_leave_the_messages_unchanged() -> None:
    messages = Raw(b'[ {"role":"user", "content":[ {"type":"text"} ]}]')
    assert bodies.convert_blocks(messages, lambda _, block: block) is messages


# --- system turns -----------------------------------------------------------------------------

USER = b'{"role":"user","content":"hi"}'
SYSTEM = b'{"role":"system","content":"be kind"}'
ASSISTANT = b'{"role":"assistant","content":"yes"}'
RESULT = b'{"type":"tool_result","tool_use_id":"t","content":"r"}'


def text(value: bytes, more: bytes = b"") -> bytes:
    return b'{"type":"text","text":"%b"%b}' % (value, more)


def test_messages_without_system_turns_are_the_same_object() -> None:
    messages = Raw(b"[%b, %b]" % (USER, ASSISTANT))
    assert bodies.fold_system_turns(messages) is messages


def test_system_text_joins_the_user_turn_before_it() -> None:
    joined = b'{"role":"user","content":[%b,%b]}' % (text(b"hi"), text(b"be kind"))
    assert fold(b"[%b,%b,%b]" % (USER, SYSTEM, ASSISTANT)) == b"[%b,%b]" % (joined, ASSISTANT)


def test_leading_system_text_joins_the_next_user_turn() -> None:
    joined = b'{"role":"user","content":[%b,%b]}' % (text(b"be kind"), text(b"hi"))
    assert fold(b"[%b,%b]" % (SYSTEM, USER)) == b"[%b]" % joined
    assert fold(b"[%b,%b,%b]" % (ASSISTANT, SYSTEM, USER)) == b"[%b,%b]" % (ASSISTANT, joined)


def test_system_text_between_assistant_turns_becomes_a_user_turn() -> None:
    own = b'{"role":"user","content":[%b]}' % text(b"be kind")
    assert fold(b"[%b,%b,%b]" % (ASSISTANT, SYSTEM, ASSISTANT)) == b"[%b,%b,%b]" % (
        ASSISTANT,
        own,
        ASSISTANT,
    )
    assert fold(b"[%b,%b]" % (ASSISTANT, SYSTEM)) == b"[%b,%b]" % (ASSISTANT, own)


def test_tool_results_stay_in_front_of_system_text() -> None:
    results = b'{"role":"user","content":[%b,%b]}' % (RESULT, text(b"go on"))
    folded = fold(b"[%b,%b,%b]" % (ASSISTANT, SYSTEM, results))
    assert folded == b'[%b,{"role":"user","content":[%b,%b,%b]}]' % (
        ASSISTANT,
        RESULT,
        text(b"be kind"),
        text(b"go on"),
    )


def test_system_blocks_keep_their_order_cache_control_and_unknown_members() -> None:
    first = b'{"type":"text","text":"a","cache_control":{"type":"ephemeral"},"x":1.0}'
    second = b'{"type":"new_kind", "y":1e400}'
    system = b'{"role":"system","content":[%b,%b]}' % (first, second)
    assert fold(b"[%b,%b]" % (USER, system)) == b'[{"role":"user","content":[%b,%b,%b]}]' % (
        text(b"hi"),
        first,
        second,
    )


def test_several_system_turns_keep_their_order() -> None:
    other = SYSTEM.replace(b"be kind", b"be brief")
    folded = fold(b"[%b,%b,%b,%b]" % (SYSTEM, USER, other, SYSTEM))
    assert folded == b'[{"role":"user","content":[%b,%b,%b,%b]}]' % (
        text(b"be kind"),
        text(b"hi"),
        text(b"be brief"),
        text(b"be kind"),
    )


def test_the_gap_separates_only_system_text() -> None:
    gap = Raw(text(rb"\n"))
    folded = bodies.fold_system_turns(Raw(b"[%b,%b,%b]" % (SYSTEM, USER, SYSTEM)), gap)
    between = b"," + bytes(gap) + b","
    parts = between.join([text(b"be kind"), text(b"hi"), text(b"be kind")])
    assert bytes(folded) == b'[{"role":"user","content":[%b]}]' % parts
    alone = bodies.fold_system_turns(Raw(b"[%b,%b]" % (SYSTEM, ASSISTANT)), gap)
    assert bytes(gap) not in bytes(alone)


def test_tool_changes_and_empty_text_are_dropped() -> None:
    system = b'{"role":"system","content":[{"type":"tool_addition"},{"type":"tool_removal"}]}'
    assert fold(b"[%b,%b,%b]" % (USER, system, ASSISTANT)) == b"[%b,%b]" % (USER, ASSISTANT)
    for empty in (b'""', b"null", b"5", b"[]"):
        turn = b'{"role":"system","content":%b}' % empty
        assert fold(b"[%b,%b]" % (USER, turn)) == b"[%b]" % USER


def test_output_config_of_messages_is_dropped() -> None:
    system = SYSTEM.replace(b"}", b',"output_config":{"effort":"low"}}')
    user = b'{"role":"user","output_config":{},"content":"hi","z":1.0}'
    assert b"output_config" not in fold(b"[%b,%b]" % (USER, system))
    assert fold(b"[%b]" % user) == b'[{"role":"user","content":"hi","z":1.0}]'


def test_other_turns_stay_byte_for_byte() -> None:
    odd = b'{ "role" : "assistant", "odd":%b , "content":[ ] }' % ODD
    assert odd in fold(b"[%b,%b,%b]" % (odd, SYSTEM, USER))


@pytest.mark.parametrize("odd", [b"5", b"{}", b'{"role":5}', b'{"role":"user","content":5}'])
def test_unreadable_turns_stay_unchanged(odd: bytes) -> None:
    own = b'{"role":"user","content":[%b]}' % text(b"be kind")
    assert fold(b"[%b,%b]" % (odd, SYSTEM)) == b"[%b,%b]" % (odd, own)
    assert fold(b"[%b,%b]" % (SYSTEM, odd)) == b"[%b,%b]" % (own, odd)
