"""The text that is shown has no secret; sent back, it is what it was."""

import time

import pytest
from hypothesis import given, strategies as st

from ccrelay.config.mask import masked, unmasked

# As a key looks; in parts, because no key may stand in the sources.
SHAPED = "sk-" + "ant-REAL0123456789abcdefghij"
YAML = """\
server:
  auth:
    tokens: [hunter2hunter2, "${TOKEN}"]
x-shared: &k plainsecret
providers:
  - name: one
    base_url: https://user:pw@host.example/v1   # SHAPED
    keys:
      - key: short
      - key: "esc\\"aped"
      - key: 'sin''gle'
      - key: |
          in a block
      - key: *k
      - key: ${KEY}
      - key: Bearer ${KEY}
      - credential: {tenant_id: t, client_secret: appsecret}
      - credential: {client_secret: "${SECRET}"}
    headers: {x-team: blue, authorization: "Basic dXNlcjpwYXNzd29yZA=="}
routing:
  rules:
    - when: {headers: {x-a: "*", x-b: secretglob}}
""".replace("SHAPED", SHAPED)
HIDDEN = [
    *("hunter2hunter2", "plainsecret", "user:pw", SHAPED[7:21], "short", 'esc\\"aped'),
    *("sin''gle", "in a block", "blue", "dXNlcjpwYXNzd29yZA", "secretglob", "appsecret"),
]


def test_secrets_of_every_kind_are_masked_and_come_back() -> None:
    shown = masked(YAML, is_toml=False)
    assert [secret for secret in HIDDEN if secret in shown.text] == []
    for kept in ("${TOKEN}", "${KEY}", "Bearer ${KEY}", 'x-a: "*"', "name: one", "x-shared: &k"):
        assert kept in shown.text
    assert unmasked(shown.text, shown.secrets) == YAML


def test_toml_as_well() -> None:
    text = (
        "[[providers]]\nname = \"one\"\n[[providers.keys]]\nkey = 'abc' # old: sk-"
        'ant-abcdefghij0123456789\n[[providers.keys]]\nkey = """multi\nline"""\n'
    )
    shown = masked(text, is_toml=True)
    assert not any(secret in shown.text for secret in ("'abc'", "multi", "abcdefghij"))
    assert unmasked(shown.text, shown.secrets) == text


def test_an_edited_text_keeps_its_secrets() -> None:
    shown = masked(YAML, is_toml=False)
    edited = shown.text.replace("name: one", "name: two")
    assert unmasked(edited, shown.secrets) == YAML.replace("name: one", "name: two")


def test_a_mask_from_elsewhere_is_refused_with_its_line() -> None:
    with pytest.raises(ValueError, match="line 2 has the mask"):
        unmasked("a: b\nkey: <masked hmac:00000000>\n", {})


@pytest.mark.parametrize(
    "text", ["key: [broken\nkey: verysecret\n", "\tclient_secret = verysecret", "{{"]
)
@pytest.mark.parametrize("is_toml", [True, False])
def test_a_broken_text_is_masked_line_by_line(text: str, is_toml: bool) -> None:
    shown = masked(text, is_toml=is_toml)
    assert "verysecret" not in shown.text
    assert unmasked(shown.text, shown.secrets) == text


BOMB = "a0: &a0 []\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB + "key: verysecret\n",
        "[" * 50_000 + "\nkey: verysecret\n",
        "- " * 50_000 + "\nkey: verysecret\n",
        "".join(f"- key: verysecret{n}\n" for n in range(5_000)),
    ],
)
def test_hostile_texts_take_no_time_and_show_nothing(text: str) -> None:
    began = time.process_time()
    shown = masked(text, is_toml=False)
    assert "verysecret" not in shown.text
    assert unmasked(shown.text, shown.secrets) == text
    assert time.process_time() - began < 20


def test_merged_mappings_are_looked_into() -> None:
    text = "base: &b {key: mergedsecret}\nproviders:\n- keys: [{<<: *b, name: a}]\n"
    shown = masked(text, is_toml=False)
    assert "mergedsecret" not in shown.text
    assert unmasked(shown.text, shown.secrets) == text


@given(st.text(max_size=80), st.booleans())
def test_any_text_comes_back(text: str, is_toml: bool) -> None:
    shown = masked(text, is_toml=is_toml)
    assert unmasked(shown.text, shown.secrets) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=4))
def test_no_key_is_shown_whatever_it_is(key: str) -> None:
    import yaml

    text = yaml.safe_dump({"providers": [{"name": "one", "keys": [{"key": key}]}]})
    shown = masked(text, is_toml=False)
    if "${" not in key:
        assert yaml.safe_load(shown.text)["providers"][0]["keys"][0]["key"] != key
    assert unmasked(shown.text, shown.secrets) == text
