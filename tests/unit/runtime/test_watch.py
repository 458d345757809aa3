import pytest

from ccrelay.runtime.watch import watched_paths


def test_a_path_without_symlinks(tmp_path):
    assert watched_paths(tmp_path / "a" / "f.yaml") == [tmp_path / "a" / "f.yaml"]


def test_a_relative_path(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    (file,) = watched_paths((tmp_path / "f").relative_to(tmp_path))
    assert file == tmp_path / "a" / "f"


def test_every_symlink_of_the_path_is_listed(tmp_path):
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "f.yaml").touch()
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "f.yaml").symlink_to("..data/f.yaml")
    (tmp_path / "etc").symlink_to(tmp_path)
    assert watched_paths(tmp_path / "etc" / "f.yaml") == [
        tmp_path / "etc",
        tmp_path / "f.yaml",
        tmp_path / "..data",
        tmp_path / "..2026" / "f.yaml",
    ]


def test_dot_dot_is_resolved_after_the_symlink(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    assert watched_paths(tmp_path / "link" / ".." / "f")[-1] == tmp_path / "a" / "f"


def test_a_symlink_loop_is_an_error(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="too many symlinks"):
        watched_paths(tmp_path / "one")
