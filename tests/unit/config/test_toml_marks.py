import tomllib

from hypothesis import given, strategies as st

from ccrelay.config.problems import Mark
from ccrelay.config.toml_marks import parse_toml

TEXT = '''\
# a comment
top = "x"

[server]
listen = "127.0.0.1:8787"
auth.tokens = [
  "a", # first
  'b]',
]

[[providers]]
name = "one"
keys = [{ key = "${A}", rpm_limit = 5 }, {key="}", "weight"=2}]

[[providers]]
name = """
two"""
[providers.model_mapping]
"claude-*" = "m"

[[providers.keys]]
key = 'k'
'''


def test_every_value_and_key_has_a_mark():
    document = parse_toml(TEXT)
    assert document.data == tomllib.loads(TEXT)
    values, keys = document.marks.values, document.marks.keys
    assert values["top",] == Mark(2, 7)
    assert keys["server",] == Mark(4, 1)
    assert values["server", "auth", "tokens", 1] == Mark(8, 3)
    assert keys["server", "auth", "tokens"] == Mark(6, 1)
    assert values["providers",] == Mark(11, 1)
    assert values["providers", 0, "keys", 0, "rpm_limit"] == Mark(13, 37)
    assert keys["providers", 0, "keys", 1, "weight"] == Mark(13, 52)
    assert values["providers", 1] == Mark(15, 1)
    assert values["providers", 1, "name"] == Mark(16, 8)
    assert values["providers", 1, "model_mapping", "claude-*"] == Mark(19, 14)
    assert keys["providers", 1, "keys", 0, "key"] == Mark(22, 1)


def _paths(node, path=()):
    yield path
    members = node.items() if isinstance(node, dict) else ()
    members = enumerate(node) if isinstance(node, list) else members
    for key, value in members:
        yield from _paths(value, (*path, key))


def test_every_path_has_its_own_mark():
    document = parse_toml(TEXT)
    assert set(_paths(document.data)) <= set(document.marks.values)


def test_windows_line_ends_do_not_move_marks():
    assert parse_toml("a = 1\r\nb = 2\r\n").marks.values["b",] == Mark(2, 5)


def test_a_duplicate_key_is_an_error_with_its_position():
    (problem,) = parse_toml("a = 1\na = 2\n").problems
    assert problem.mark is not None
    assert problem.mark.line == 2
    assert "invalid TOML" in problem.message


def test_an_unfinished_document_is_an_error_at_its_end():
    (problem,) = parse_toml('a = "x').problems
    assert problem.mark == Mark(1, 7)


def test_a_number_with_too_many_digits_is_an_error():
    (problem,) = parse_toml("a = " + "9" * 5000).problems
    assert problem.message == "invalid TOML: a number is too long"


def test_deep_nesting_is_an_error():
    (problem,) = parse_toml("a = " + "[" * 20_000).problems
    assert "invalid TOML" in problem.message


_SCALARS = st.one_of(
    st.integers(-9, 9).map(str),
    st.sampled_from(["true", "1.5", '"a]b"', "'}'", '"""x"y"""', "'''\n#'''", "1979-05-27"]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{' , '.join(items)}]"),
        st.lists(inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"k{i} = {v}" for i, v in enumerate(items)) + "}"
        ),
    ),
    max_leaves=8,
)


@given(st.lists(_VALUES, max_size=5))
def test_generated_documents_have_all_marks(values):
    text = "".join(f"key{i}={value} # c\n" for i, value in enumerate(values))
    document = parse_toml(text)
    assert set(_paths(document.data)) == set(document.marks.values)
    for i in range(len(values)):
        mark = document.marks.values[f"key{i}",]
        line = text.split("\n")[mark.line - 1]
        assert line[: mark.column - 1].endswith(f"key{i}=")


@given(st.text(max_size=60))
def test_parsing_any_text_never_raises(text):
    document = parse_toml(text)
    assert document.data is not None or document.problems
