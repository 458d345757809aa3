import pytest

from ccrelay.runtime.watch import steps


def test_a_plain_file_is_one_step(tmp_path):
    assert steps(tmp_path / "a" / "f.yaml") == [tmp_path / "a" / "f.yaml"]


def test_a_relative_path_starts_here(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    (file,) = steps((tmp_path / "f").relative_to(tmp_path))
    assert file == tmp_path / "a" / "f"


def test_every_link_on_the_way_is_a_step(tmp_path):
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "f.yaml").touch()
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "f.yaml").symlink_to("..data/f.yaml")
    (tmp_path / "etc").symlink_to(tmp_path)
    assert steps(tmp_path / "etc" / "f.yaml") == [
        tmp_path / "etc",
        tmp_path / "f.yaml",
        tmp_path / "..data",
        tmp_path / "..2026" / "f.yaml",
    ]


def test_a_link_upwards_is_followed_from_where_it_leads(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    assert steps(tmp_path / "link" / ".." / "f")[-1] == tmp_path / "a" / "f"


def test_links_in_circles_are_an_error(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="too many links"):
        steps(tmp_path / "one")
