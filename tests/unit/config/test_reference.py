import re
from pathlib import Path

from ccrelay.config.reference import EXAMPLE, reference

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == reference(), (
        "run: python -m ccrelay.config.reference > docs/configuration.md"
    )


def test_the_example_on_the_page_loads(load_text):
    assert EXAMPLE.rstrip() in reference()
    loaded = load_text(EXAMPLE)
    assert [provider.name for provider in loaded.config.providers] == ["anthropic", "zai", "ollama"]


def test_every_section_has_its_table():
    page = reference()
    for title in (
        "`server.limits`",
        "`routing.rules[].when`",
        "`routing.rules[].use`",
        "`providers[].keys[]`",
        "`providers[].models[]`",
        "`providers[].prices.*`",
    ):
        assert page.count(f"## {title}\n") == 1


def test_a_row_has_default_meaning_and_the_words_that_the_meaning_lacks():
    page = reference().splitlines()
    assert "- `workers` (`1`): Worker processes." in page
    assert "- `name` (required): Unique name, used in logs and rules." in page
    assert "- `level` (`info`): Minimum level. One of `debug`, `error`, `info`, `warning`." in page


def test_the_second_clause_of_a_long_sentence_is_in_the_schema_only():
    [row] = [line for line in reference().splitlines() if line.startswith("- `model_mapping`")]
    assert ";" not in row
    assert row.endswith(".")


def test_an_abbreviation_does_not_end_a_sentence():
    [row] = [line for line in reference().splitlines() if line.startswith("- `inference_profile`")]
    assert "(us., eu. and so on, by region)" in row


def test_every_setting_has_a_meaning():
    for line in reference().splitlines():
        if row := re.match(r"- `\w+`(?: \(.*?\))?:(.*)", line):
            assert len(row[1]) > 5, line
