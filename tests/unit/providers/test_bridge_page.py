from ccrelay.providers.bridge_features import FEATURES
from ccrelay.providers.bridge_page import page
from ccrelay.providers.bridge_rows import ALL
from tests.pages import text_of


def test_the_page_for_users_names_every_surface_and_the_command() -> None:
    shown = text_of("dialects.md")
    assert [surface for surface in ALL if f"`{surface}`" not in shown] == []
    assert "python -m ccrelay.providers.bridge_page" in shown


def test_every_feature_stands_in_it_once() -> None:
    rows = [line.split("|")[1].strip() for line in page().splitlines() if line.startswith("| ")]
    for feature in FEATURES:
        assert feature.name in rows


def test_every_row_has_all_its_cells() -> None:
    table: int | None = None
    for line in page().splitlines():
        if not line.startswith("|"):
            table = None
        elif table is None:
            table = line.count("|")
        else:
            assert line.count("|") == table, line
