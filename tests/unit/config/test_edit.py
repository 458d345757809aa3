"""Values set in the text of a configuration file: everything else stays as it is."""

import difflib
import json
import tomllib
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from ccrelay.config.edit import CannotEdit, Edit, edited

BLOCK = """\
# who serves
providers:
  - name: one   # the first
    type: anthropic
    keys:
      - key: ${ONE}   # team a
        name: a
      - {key: "${TWO}", weight: 3}
  - keys: [{key: k1}, {key: k2, enabled: true}]
    name: two
    enabled: yes-or-no
routing: {strategy: failover}
"""


def lines_changed(before: str, after: str) -> list[str]:
    diff = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in diff if line[0] in "+-"]


def test_a_member_is_added_below_a_line_that_keeps_its_comment() -> None:
    after = edited(BLOCK, [Edit(0, None, "enabled", 0)], is_toml=False)
    assert lines_changed(BLOCK, after) == ["+     enabled: false"]
    assert "  - name: one   # the first\n    enabled: false\n    type" in after


def test_a_key_in_block_style_gets_its_member() -> None:
    after = edited(BLOCK, [Edit(0, 0, "weight", 7)], is_toml=False)
    assert "      - key: ${ONE}   # team a\n        weight: 7\n        name: a\n" in after


def test_a_value_is_replaced_where_it_stands() -> None:
    after = edited(BLOCK, [Edit(0, 1, "weight", 0)], is_toml=False)
    assert after == BLOCK.replace("weight: 3", "weight: 0")


def test_a_member_is_added_in_flow_style() -> None:
    after = edited(BLOCK, [Edit(1, 0, "enabled", 0)], is_toml=False)
    assert after == BLOCK.replace("{key: k1}", "{key: k1, enabled: false}")


def test_several_edits_add_up() -> None:
    edits = [Edit(0, None, "enabled", 0), Edit(1, 1, "enabled", 0), Edit(1, 1, "weight", 5)]
    after = yaml.safe_load(edited(BLOCK, edits, is_toml=False))
    assert after["providers"][0]["enabled"] is False
    assert after["providers"][1]["keys"][1] == {"key": "k2", "enabled": False, "weight": 5}


def test_an_equal_value_changes_nothing() -> None:
    assert edited(BLOCK, [Edit(1, 1, "enabled", 1)], is_toml=False) == BLOCK


def test_json_stays_json() -> None:
    text = json.dumps({"providers": [{"name": "one", "keys": [{"key": "k"}]}]}, indent=2)
    after = edited(text, [Edit(0, 0, "weight", 9)], is_toml=False)
    assert json.loads(after)["providers"][0]["keys"][0] == {"key": "k", "weight": 9}


@pytest.mark.parametrize(
    ("text", "edit", "part"),
    [
        ("providers:\n- name: one", Edit(0, None, "enabled", 0), "- name: one\n  enabled: false"),
        ("providers:\n- keys:\n  - key: k\n", Edit(0, None, "enabled", 0), "- enabled: false\n"),
        ("providers:\r\n- name: a\r\n", Edit(0, None, "enabled", 0), "name: a\r\n  enabled: false"),
        ("providers: [{}]\n", Edit(0, None, "enabled", 0), "[{enabled: false}]"),
        ("providers:\n- enabled:\n", Edit(0, None, "enabled", 0), "- enabled: false\n"),
        ("providers:\n- enabled: &on true # x\n", Edit(0, None, "enabled", 0), "&on false # x"),
        ("providers:\n- {name: a, }\n", Edit(0, None, "enabled", 0), "{name: a, enabled: false, }"),
        ("\ufeffproviders:\n- name: a\n", Edit(0, None, "enabled", 0), "\ufeffproviders"),
        ("providers:\n- name: |\n    é\n  type: x\n", Edit(0, None, "enabled", 0), "type: x\n  en"),
        ("providers:\n- name: 'ü\n    b'\n", Edit(0, None, "enabled", 0), "b'\n  enabled: false\n"),
        ("x: &y true\nproviders:\n- enabled: *y\n", Edit(0, None, "enabled", 0), "enabled: false"),
        (
            "b: &b {enabled: true}\nproviders:\n- <<: *b\n  name: a\n",
            Edit(0, None, "enabled", 0),
            "- <<: *b\n  enabled: false\n  name: a\n",
        ),
        ("providers:\n-\n    name: a\n", Edit(0, None, "enabled", 0), "    enabled: false\n"),
    ],
)
def test_shapes_of_yaml(text: str, edit: Edit, part: str) -> None:
    assert part in edited(text, [edit], is_toml=False)


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("x: &x {key: k}\nproviders:\n- keys: [*x, *x]\n", Edit(0, 0, "weight", 2)),
        ("providers:\n- &p {name: a}\n- *p\n", Edit(1, None, "enabled", 0)),
        ("y: &on true\nz: *on\nproviders: []\n", Edit(0, None, "enabled", 0)),
        ("providers:\n- enabled: &e true\n- enabled: *e\n", Edit(0, None, "enabled", 0)),
        ("providers: [a: b: c", Edit(0, None, "enabled", 0)),
        ("providers:\n- name: a\n  name: b\n", Edit(0, None, "enabled", 0)),
        ("providers:\n- text\n", Edit(0, None, "enabled", 0)),
        ("", Edit(0, None, "enabled", 0)),
    ],
)
def test_an_edit_that_would_change_more_is_refused_and_says_what_to_write(
    text: str, edit: Edit
) -> None:
    with pytest.raises(CannotEdit, match="by hand"):
        edited(text, [edit], is_toml=False)


TOML = """\
# who serves
[[providers]] # first
  name = "one"
  [[providers.keys]]
  key = "${ONE}" # a
  weight = 3 # of all
  [[providers.keys]]
  key = "b"

[[providers]]
name = "two"
keys = [{ key = "c" }, {key="d", enabled=true}, {}]
"""


@pytest.mark.parametrize(
    ("edit", "change"),
    [
        (Edit(0, None, "enabled", 0), ["+   enabled = false"]),
        (Edit(0, 0, "weight", 4), ["-   weight = 3 # of all", "+   weight = 4 # of all"]),
        (Edit(0, 1, "enabled", 0), ["+   enabled = false"]),
        (Edit(1, None, "enabled", 0), ["+ enabled = false"]),
    ],
)
def test_toml_tables(edit: Edit, change: list[str]) -> None:
    assert lines_changed(TOML, edited(TOML, [edit], is_toml=True)) == change


@pytest.mark.parametrize(
    ("edit", "part"),
    [
        (Edit(1, 0, "weight", 2), '{ weight = 2, key = "c" }'),
        (Edit(1, 1, "enabled", 0), '{key="d", enabled=false}'),
        (Edit(1, 2, "enabled", 0), "{ enabled = false }]"),
    ],
)
def test_toml_inline_tables(edit: Edit, part: str) -> None:
    assert part in edited(TOML, [edit], is_toml=True)


def test_toml_with_crlf_keeps_it() -> None:
    text = TOML.replace("\n", "\r\n")
    after = edited(text, [Edit(0, None, "enabled", 0)], is_toml=True)
    assert after.count("\n") == after.count("\r\n") == TOML.count("\n") + 1


# ---- whatever the file looks like

names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8
)
keys = st.fixed_dictionaries(
    {"key": names},
    optional={"name": names, "weight": st.integers(0, 9), "enabled": st.booleans()},
)
providers = st.fixed_dictionaries(
    {"name": names},
    optional={
        "enabled": st.booleans(),
        "headers": st.dictionaries(names, names, max_size=2),
        "keys": st.lists(keys, min_size=1, max_size=3),
    },
)
documents = st.fixed_dictionaries(
    {"providers": st.lists(providers, min_size=1, max_size=3)},
    optional={"routing": st.dictionaries(names, names, max_size=2)},
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], Edit]:
    data = draw(documents)
    index = draw(st.integers(0, len(data["providers"]) - 1))
    of_key = data["providers"][index].get("keys")
    key = draw(st.integers(0, len(of_key) - 1)) if of_key and draw(st.booleans()) else None
    setting = draw(st.sampled_from(["enabled", "weight"])) if key is not None else "enabled"
    value = draw(st.integers(0, 1 if setting == "enabled" else 1000))
    return data, Edit(index, key, setting, value)  # type: ignore[arg-type]


def expected(data: dict[str, Any], edit: Edit) -> dict[str, Any]:
    place = data["providers"][edit.provider]
    if edit.key is not None:
        place = place["keys"][edit.key]
    place[edit.setting] = bool(edit.value) if edit.setting == "enabled" else edit.value
    return data


@given(cases(), st.sampled_from([True, False, None]), st.integers(2, 6), st.data())
def test_any_yaml_differs_in_the_value_alone(
    case: tuple[dict[str, Any], Edit], flow: bool | None, indent: int, draw: st.DataObject
) -> None:
    data, edit = case
    text = yaml.safe_dump(
        data, default_flow_style=flow, indent=indent, sort_keys=False, allow_unicode=True, width=40
    )
    if flow is False and "\n\n" not in text and "'" not in text and '"' not in text:
        lines = [line + draw.draw(st.sampled_from(["", "  # c: d"])) for line in text.splitlines()]
        commented = "\n".join(lines) + "\n"
        if yaml.safe_load(commented) == data:
            text = commented
    after = edited(text, [edit], is_toml=False)
    changed = lines_changed(text, after)
    assert yaml.safe_load(after) == expected(data, edit)
    assert len(changed) <= 3, changed


def toml_text(data: dict[str, Any], inline: bool) -> str:
    def value(one: Any) -> str:
        if isinstance(one, dict):
            inner = ", ".join(f"{json.dumps(n)} = {value(v)}" for n, v in one.items())
            return "{" + inner + "}"
        if isinstance(one, list):
            return "[" + ", ".join(map(value, one)) + "]"
        return json.dumps(one, ensure_ascii=False)

    if inline:
        return "".join(f"{json.dumps(name)} = {value(one)}\n" for name, one in data.items())
    text = "".join(f"[{n}]\nx = {value(v)}\n" for n, v in data.items() if n != "providers")
    for provider in data["providers"]:
        text += "\n[[providers]] # p\n"
        text += "".join(f"{n} = {value(v)}\n" for n, v in provider.items() if n != "keys")
        for key in provider.get("keys", ()):
            text += "[[providers.keys]]\n"
            text += "".join(f"  {n} = {value(v)}  # k\n" for n, v in key.items())
    return text


@given(cases(), st.booleans())
def test_any_toml_differs_in_the_value_alone(
    case: tuple[dict[str, Any], Edit], inline: bool
) -> None:
    data, edit = case
    text = toml_text(data, inline)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # DEL and friends, which JSON does not escape
        return
    after = edited(text, [edit], is_toml=True)
    assert tomllib.loads(after) == expected(before, edit)
    assert len(lines_changed(text, after)) <= 3


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_edited_or_refused(text: str, is_toml: bool) -> None:
    try:
        edited(text, [Edit(0, None, "enabled", 0)], is_toml=is_toml)
    except CannotEdit:
        pass
