import math

import pytest
from hypothesis import given, strategies as st

from ccrelay.config.problems import Mark
from ccrelay.config.yaml_marks import core_scalar, parse_yaml


def test_every_value_and_key_has_a_mark():
    document = parse_yaml("a: 1\nb:\n  - c: x\n    d: [2, 'y']\n")
    assert document.data == {"a": 1, "b": [{"c": "x", "d": [2, "y"]}]}
    values, keys = document.marks.values, document.marks.keys
    assert values["a",] == Mark(1, 4)
    assert keys["b",] == Mark(2, 1)
    assert values["b", 0] == Mark(3, 5)
    assert keys["b", 0, "d"] == Mark(4, 5)
    assert values["b", 0, "d", 1] == Mark(4, 12)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("12", 12),
        ("-007", -7),
        ("0o17", 15),
        ("0xff", 255),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
    ],
)
def test_plain_scalars_follow_the_core_schema(text, value):
    result = core_scalar(text)
    assert result == value
    assert type(result) is type(value)


def test_quoted_scalars_are_text():
    assert parse_yaml("a: '1'\nb: \"true\"\nc: |\n  2\nd: !!str 3").data == {
        "a": "1",
        "b": "true",
        "c": "2\n",
        "d": "3",
    }


def test_a_duplicate_key_is_reported_and_the_first_is_kept():
    document = parse_yaml("a: 1\nb: {x: 1, x: {y: 2}}\na: 3\n")
    assert document.data == {"a": 1, "b": {"x": 1}}
    assert [(p.path, p.mark, p.message) for p in document.problems] == [
        (("b", "x"), Mark(2, 11), "duplicate key (first on line 2)"),
        (("a",), Mark(3, 1), "duplicate key (first on line 1)"),
    ]
    assert document.marks.values["a",] == Mark(1, 4)


def test_anchors_aliases_and_merge_keys_work():
    text = "a: &x {t: 1, u: 2}\nb: *x\nc: {<<: *x, u: 3}\n"
    document = parse_yaml(text)
    assert document.data == {"a": {"t": 1, "u": 2}, "b": {"t": 1, "u": 2}, "c": {"u": 3, "t": 1}}
    assert document.marks.at(("b", "t")) == Mark(2, 4)
    assert not document.problems


def test_an_invalid_merge_key_is_reported():
    (problem,) = parse_yaml("a: {<<: 3}").problems
    assert problem.mark == Mark(1, 5)


def test_an_empty_file_is_an_empty_mapping():
    assert parse_yaml("").data == {}
    assert parse_yaml("# nothing\n").data == {}


@pytest.mark.parametrize(
    ("text", "words", "mark"),
    [
        ("a: 1\n---\nb: 2\n", "more than one", Mark(2, 1)),
        ("a: !!python/name:os.system x", "tags", Mark(1, 4)),
        ("a: !mine {}", "tags", Mark(1, 4)),
        ("a: *x", "undefined alias", Mark(1, 4)),
        ("a: &x [*x]", "undefined alias", Mark(1, 8)),
        ("? [a]\n: b", "must be a scalar", Mark(1, 3)),
        ("a: [1,\nb", "invalid YAML", Mark(3, 1)),
        ("a: \x07", "control character", Mark(1, 4)),
        ("[" * 40, "deeper than", Mark(1, 34)),
    ],
)
def test_unsupported_yaml_is_one_problem_with_its_position(text, words, mark):
    document = parse_yaml(text)
    assert document.data is None
    (problem,) = document.problems
    assert words in problem.message
    assert problem.mark is not None
    assert problem.mark.line == mark.line
    assert problem.mark.column == mark.column


def test_an_unquoted_expansion_in_braces_gets_a_hint():
    (problem,) = parse_yaml("a: {key: ${KEY}}").problems
    assert 'write "${...}" in quotes' in problem.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\t- b\n", "(a tab: indent with spaces)"),
        ("a:\n  - b: 1\n  - b: @c\n", "(put text that begins with @ in quotes)"),
        ("a: %b\n", "(put text that begins with % in quotes)"),
        ("a: [*]\n", "(put text that begins with * in quotes)"),
        ("a: 1\nb: 'c\nd: e\n", "(the quote that opens on line 2 is not closed)"),
        ('b: "${C}\nd: e\n', "(the quote that opens on line 1 is not closed)"),
        ('a: "C:\\dir"\n', "(in double quotes, \\ is written \\\\; or use single quotes)"),
    ],
)
def test_a_syntax_error_says_what_is_probably_wrong(text, hint):
    (problem,) = parse_yaml(text).problems
    assert problem.message.endswith(hint)


def test_alias_expansion_is_limited():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (problem,) = parse_yaml("\n".join(lines)).problems
    assert "nodes" in problem.message


@given(st.text(max_size=60))
def test_parsing_any_text_never_raises(text):
    document = parse_yaml(text)
    assert document.data is not None or document.problems
