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
        "Top level",
        "`server.limits`",
        "`routing.rules[].when`",
        "`routing.rules[].use`",
        "`providers[].keys[]`",
        "`providers[].models[]`",
        "`providers[].prices.*`",
    ):
        assert page.count(f"## {title}\n") == 1


def test_only_times_are_in_seconds():
    page = reference()
    assert "| `wait_s` | seconds, 0 to 600 |" in page
    assert "| `failure_rate` | number, above 0 to 1 |" in page
    assert "| `cache_read` | number, 0 to 100,000 |" in page
