"""Members of a JSON text are put and dropped; every other byte stays."""

import json
import re

import pytest
from hypothesis import given, strategies as st

from ccrelay.cli.settings_text import SettingsError, drop, get, plain, put, read

TEXTS = [
    '{"a": 1}',
    '{\n  "a": 1\n}\n',
    '{\n  "a": 1, // why\n  "b": [1, 2] /* here */\n}\n',
    '{\r\n\t"a": 1,\r\n\t"b": {"c": "}"}\r\n}\r\n',
    '\ufeff{\n    "a": "// no comment"\n}',
    '{\n  "a": 1,\n}\n',
    '// first\n{\n  // of a\n  "a": 1\n  // last\n}\n// end\n',
    '{ "env" : { "X" : "1" } , "z" : null }',
    '{\n  "env": {\n    "X": "1", // mine\n  },\n}',
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("path", [("new",), ("env", "NEW")])
def test_what_is_put_and_dropped_leaves_no_trace(text: str, path: tuple[str, ...]) -> None:
    had_env = get(text, path[:1]) is not None
    changed = put(text, path, '"v"')
    assert get(changed, path) == '"v"'
    assert changed != text
    back = drop(changed, path)
    if len(path) > 1 and not had_env:
        back = drop(back, path[:-1])
    assert back == text


@pytest.mark.parametrize("text", TEXTS)
def test_only_what_is_added_is_added(text: str) -> None:
    """Without what was put in, the rest stands in its order, byte for byte."""
    changed = put(text, ("new",), '"v"')
    cut = re.search(r'\s*"new": "v",?', changed)
    assert cut is not None
    rest = changed[: cut.start()] + changed[cut.end() :]
    assert rest.replace(",", "") == text.replace(",", "")
    assert rest.count(",") - text.count(",") in (0, 1)


def test_a_comment_behind_the_last_member_stays_on_its_line() -> None:
    text = '{\n  "a": 1 // of a\n}\n'
    assert put(text, ("b",), "2") == '{\n  "a": 1, // of a\n  "b": 2\n}\n'


def test_the_style_of_the_text_is_kept() -> None:
    text = '{\r\n\t"a": 1\r\n}'
    wanted = '{\r\n\t"a": 1,\r\n\t"env": {\r\n\t\t"X": "1"\r\n\t}\r\n}'
    assert put(text, ("env", "X"), '"1"') == wanted


def test_a_value_is_replaced_in_place() -> None:
    text = '{ "a" : 1 /* one */, "b":2 }'
    assert put(text, ("a",), '"x"') == '{ "a" : "x" /* one */, "b":2 }'


def test_the_last_of_two_members_with_a_name_counts() -> None:
    text = '{"a": 1, "a": 2}'
    assert get(text, ("a",)) == "2"
    assert put(text, ("a",), "3") == '{"a": 1, "a": 3}'


def test_the_first_member_is_dropped_with_its_comma() -> None:
    assert drop('{\n  "a": 1,\n  "b": 2\n}', ("a",)) == '{\n  "b": 2\n}'


def test_one_in_the_middle_is_dropped() -> None:
    text = '{\n  "a": 1,\n  "b": 2, // b\n  "c": 3\n}'
    assert drop(text, ("b",)) == '{\n  "a": 1, // b\n  "c": 3\n}'


def test_what_is_not_there_is_not_dropped() -> None:
    assert drop('{"a": 1}', ("b",)) == '{"a": 1}'
    assert drop('{"a": 1}', ("a", "b")) == '{"a": 1}'


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1, column 1: an object"),
        ("[]", "line 1, column 1: an object"),
        ('{\n  "a": 1\n  "b": 2}', "line 3, column 3: a comma or }"),
        ('{"a" 1}', "line 1, column 6: a colon"),
        ('{"a": nope}', "line 1, column 7: a value"),
        ("{'a': 1}", "line 1, column 2: a text"),
        ('{"a": 1} x', "line 1, column 10: nothing"),
        ('{"a": "\\q"}', "line 1, column 7: this text"),
        ('{"a": ' + "[" * 200 + "}", "nested too deep"),
    ],
)
def test_a_broken_text_is_told_with_its_place(text: str, where: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(where)):
        read(text)


def test_something_on_the_way_must_be_an_object() -> None:
    with pytest.raises(SettingsError, match="env is no object"):
        put('{"env": []}', ("env", "X"), '"1"')


def test_comments_do_not_count_in_a_value() -> None:
    assert plain('{"a": [1, /* x */ 2,], // y\n}') == {"a": [1, 2]}
    assert plain('{"a": "// text, }"}') == {"a": "// text, }"}
    assert plain(None) is None


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(names, values, max_size=5)


@given(objects, names, values, st.sampled_from([None, 2, "\t"]))
def test_json_agrees(whole: dict[str, object], name: str, value: object, indent: object) -> None:
    text = json.dumps(whole, indent=indent, ensure_ascii=False)  # type: ignore[arg-type]
    changed = put(text, (name,), json.dumps(value))
    assert json.loads(changed) == {**whole, name: value}
    without = {key: one for key, one in whole.items() if key != name}
    assert json.loads(drop(changed, (name,))) == without
    if name not in whole and whole:
        assert drop(changed, (name,)) == text


@st.composite
def commented(draw: st.DrawFn) -> tuple[str, list[str]]:
    """An object with comments and line ends at any place, and the names of its members."""
    gaps = st.sampled_from(["", " ", "\n  ", "\r\n\t", " /* c, */ ", " // }\n"])
    members = draw(st.lists(st.sampled_from("abcd"), max_size=4, unique=True))
    texts = []
    for name in members:
        before, colon, value, after = (draw(gaps) for _ in range(4))
        inner = draw(st.sampled_from(["1", '"// x"', "{}", "{ // x\n}", '{"e": 1 // x\n}']))
        texts.append(f'{before}"{name}"{colon}:{value}{inner}{after}')
    last = "," if texts and draw(st.booleans()) else ""
    return f"{{{','.join(texts)}{last}{draw(gaps)}}}", members


@given(commented(), st.data())
def test_a_comment_swallows_nothing(made: tuple[str, list[str]], data: st.DataObject) -> None:
    """Whatever is dropped or put, what is left is a text that can be read."""
    text, names = made
    left = list(names)
    for name in data.draw(st.permutations(names)):
        text = drop(text, (name,))
        left.remove(name)
        assert [member.name for member in read(text).members] == left
        changed = put(text, ("new",), "1")
        assert [member.name for member in read(changed).members] == [*left, "new"]
