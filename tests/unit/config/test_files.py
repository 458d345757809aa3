import grp
import os
import pwd
import stat
from collections import namedtuple

import pytest

from ccrelay.config import files
from ccrelay.config.files import Untrusted, open_log, open_trusted

STRANGER = 54321  # nobody's
User = namedtuple("User", "pw_name pw_uid pw_gid")
Group = namedtuple("Group", "gr_name gr_mem")


@pytest.fixture
def place(tmp_path):
    """A folder with a file `c` that only its owner can write."""
    (tmp_path / "c").write_text("mine")
    (tmp_path / "c").chmod(0o600)
    return tmp_path


@pytest.fixture
def give_away(monkeypatch):
    """Make a file another user's; without root: make everything another's."""

    def give_away(path):
        if os.geteuid() == 0:
            os.chown(path, STRANGER, -1, follow_symlinks=False)
        else:
            monkeypatch.setattr(files.os, "geteuid", lambda: STRANGER)

    return give_away


def read(path, env=None) -> str:
    with open(open_trusted(path, env or {})) as file:
        return file.read()


def test_an_own_file_is_opened_by_any_path(place, monkeypatch):
    (place / "sub").mkdir()
    (place / "sub" / "to-parent").symlink_to("../c")
    (place / "to-file").symlink_to(place / "sub" / "to-parent")
    (place / "to-folder").symlink_to("sub/.")
    monkeypatch.chdir(place / "sub")
    for path in ("../c", "to-parent", "./../to-file", "../to-folder/to-parent", place / "c"):
        assert read(path) == "mine"
    assert read(f"/{place}//c") == "mine"


def test_the_descriptor_is_not_inherited_and_folders_are_opened_too(place):
    for path in (place / "c", place, "/"):
        fd = open_trusted(path, {})
        assert not os.get_inheritable(fd)
        os.fstat(fd)
        os.close(fd)


def test_no_descriptor_is_left_open(place):
    (place / "open").write_text("")
    (place / "open").chmod(0o666)
    (place / "loop").symlink_to("loop")
    before = os.dup(0)
    os.close(before)
    for path in ("open", "loop", "nowhere", "c/d", "nowhere/c"):
        with pytest.raises(OSError, match=r"can be written|Too many|No such|Not a dir"):
            open_trusted(place / path, {})
    after = os.dup(0)
    os.close(after)
    assert before == after


def test_missing_files_and_loops_are_errors_of_the_system(place):
    (place / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels"):
        open_trusted(place / "loop", {})
    with pytest.raises(FileNotFoundError):
        open_trusted(place / "nowhere", {})
    with pytest.raises(NotADirectoryError):
        open_trusted(place / "c" / "d", {})


@pytest.mark.parametrize("at", ["c", ".", "sub", "sub/file"])
def test_what_others_can_write_is_refused_wherever_it_is_on_the_way(place, at):
    (place / "sub").mkdir()
    (place / "sub" / "file").write_text("")
    (place / "link").symlink_to("sub/file" if at.startswith("sub") else "c")
    assert read(place / "link") in ("mine", "")
    (place / at).chmod(0o777)
    with pytest.raises(Untrusted, match=r"can be written by every user \(mode 0777\): chmod"):
        open_trusted(place / "link", {})
    assert read(place / "link", {"CCRELAY_FILE_CHECKS": "off"}) in ("mine", "")


def test_a_sticky_folder_keeps_what_is_ours(place):
    place.chmod(0o1777)
    assert read(place / "c") == "mine"


def test_a_file_of_another_user_is_refused(place, give_away):
    give_away(place / "c")
    with pytest.raises(Untrusted, match=r"belongs to user \d+"):
        open_trusted(place / "c", {})


def test_the_folder_of_another_user_is_refused(place, give_away):
    give_away(place)
    with pytest.raises(Untrusted, match=r'the folder ".*" belongs to user \d+'):
        open_trusted(place / "c", {})


def test_a_link_of_another_user_in_a_sticky_folder_is_refused(place, give_away):
    (place / "link").symlink_to("c")
    place.chmod(0o1777)
    give_away(place / "link")
    with pytest.raises(Untrusted, match="belongs to user"):
        open_trusted(place / "link", {})


def test_a_file_that_is_swapped_for_a_link_after_the_look_is_not_opened(place, monkeypatch):
    (place / "secret").write_text("of others")
    stat_of = os.stat

    def swap(name, **how):
        status = stat_of(name, **how)
        if name == "c":
            (place / "c").unlink()
            (place / "c").symlink_to("secret")
        return status

    monkeypatch.setattr(files.os, "stat", swap)
    with pytest.raises(OSError, match="Too many levels"):
        open_trusted(place / "c", {})


GROUPS = [
    # user's group, its name and members, other users, whether it is the user's alone
    ("me", [], [], True),
    ("me", ["me"], [], True),
    ("me", ["me", "you"], [], False),
    ("staff", [], [], False),
    ("me", [], [User("you", STRANGER, 7)], False),
    ("me", [], [User("you", STRANGER, 8)], True),
]


@pytest.mark.parametrize(("name", "members", "others", "is_private"), GROUPS)
def test_only_a_group_of_one_may_write(place, monkeypatch, name, members, others, is_private):
    me = User("me", os.geteuid(), 7)
    monkeypatch.setattr(files.pwd, "getpwuid", lambda uid: me)
    monkeypatch.setattr(files.pwd, "getpwall", lambda: [me, *others])
    monkeypatch.setattr(files.grp, "getgrgid", lambda gid: Group(name, members))
    assert files._private_groups(frozenset({me.pw_uid})) == ({7} if is_private else set())


def test_a_file_of_the_own_group_is_opened(place, monkeypatch):
    """As with a umask of 002."""
    (place / "c").chmod(0o664)
    me = User("me", os.geteuid(), (place / "c").stat().st_gid)
    monkeypatch.setattr(files.pwd, "getpwuid", lambda uid: me)
    monkeypatch.setattr(files.pwd, "getpwall", lambda: [me])
    monkeypatch.setattr(files.grp, "getgrgid", lambda gid: Group("me", []))
    assert read(place / "c") == "mine"
    monkeypatch.setattr(files.grp, "getgrgid", lambda gid: Group("me", ["you"]))
    with pytest.raises(Untrusted, match=r"by the group \d+ \(mode 0664\): chmod g-w"):
        open_trusted(place / "c", {})


def test_users_and_groups_without_an_entry_have_no_group_of_their_own(monkeypatch):
    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert files._private_groups(frozenset({STRANGER})) == frozenset()
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: User("me", uid, 7))
    monkeypatch.setattr(grp, "getgrgid", unknown)
    assert files._private_groups(frozenset({STRANGER})) == frozenset()


def test_standard_input_needs_no_path(monkeypatch):
    reader, writer = os.pipe()
    os.write(writer, b"piped")
    os.close(writer)
    assert read(f"/dev/fd/{reader}") == "piped"
    os.close(reader)


# ---- logs


def log(path, text: bytes = b"line\n", env=None) -> None:
    fd = open_log(str(path), env or {})
    assert not os.get_inheritable(fd)
    assert os.get_blocking(fd)
    os.write(fd, text)
    os.close(fd)


def test_a_log_is_created_for_its_owner_alone_and_appended_to(place):
    umask = os.umask(0)
    try:
        log(place / "l")
    finally:
        os.umask(umask)
    log(place / "l")
    assert stat.S_IMODE((place / "l").stat().st_mode) == 0o600
    assert (place / "l").read_bytes() == b"line\n" * 2


def test_a_log_that_others_can_read_goes_on_being_used(place):
    (place / "c").chmod(0o644)
    log(place / "c")


def test_home_and_links_on_the_way_are_followed(place, monkeypatch):
    (place / "logs").symlink_to(".")
    monkeypatch.setenv("HOME", str(place))
    log("~/logs/l")
    assert (place / "l").exists()


@pytest.mark.parametrize("is_checked", [True, False])
def test_a_link_at_the_end_is_never_followed(place, is_checked):
    (place / "l").symlink_to("new")
    env = {} if is_checked else {"CCRELAY_FILE_CHECKS": "off"}
    with pytest.raises(Untrusted, match="is a symbolic link; name the file itself"):
        log(place / "l", env=env)
    assert not (place / "new").exists()


def test_logs_that_are_not_ours_alone_are_refused(place, give_away):
    (place / "c").chmod(0o622)
    with pytest.raises(Untrusted, match=r"chmod g?o-w"):
        log(place / "c")
    (place / "c").chmod(0o600)
    os.link(place / "c", place / "other-name")
    with pytest.raises(Untrusted, match="is a hard link"):
        log(place / "c")
    (place / "other-name").unlink()
    os.mkfifo(place / "fifo", 0o600)
    with pytest.raises(Untrusted, match="is not a regular file"):
        log(place / "fifo")
    give_away(place / "c")
    with pytest.raises(Untrusted, match="belongs to user"):
        log(place / "c")
    assert (place / "c").read_text() == "mine"
    log(place / "c", env={"CCRELAY_FILE_CHECKS": "off"})


def test_a_link_that_is_taken_away_once_it_is_open_is_refused(place, monkeypatch):
    (place / "victim").write_text("of others")
    os.link(place / "victim", place / "l")
    status_of = os.fstat

    def take_away(fd):
        (place / "l").unlink(missing_ok=True)
        return status_of(fd)

    monkeypatch.setattr(files.os, "fstat", take_away)
    with pytest.raises(OSError, match="No such file"):
        log(place / "l")
    (place / "l").write_text("another")
    monkeypatch.setattr(files.os, "fstat", status_of)
    folder, other = os.open(place, os.O_RDONLY), os.open(place / "victim", os.O_WRONLY)
    with pytest.raises(Untrusted, match="was replaced while it was opened"):
        files._check_log(str(place / "l"), folder, other, {})
    os.close(folder)
    os.close(other)
    assert (place / "victim").read_text() == "of others"


def test_a_log_in_a_folder_that_everybody_can_write_is_refused(place):
    place.chmod(0o777)
    with pytest.raises(Untrusted, match=r'the folder ".*" can be written by every user'):
        log(place / "c")
    place.chmod(0o1777)
    log(place / "c")


def test_devices_and_the_own_output_are_logs(place, capfd):
    log("/dev/null")
    log("/dev/stdout", b"to stdout")
    log("/dev/stderr", b"to stderr")
    assert capfd.readouterr() == ("to stdout", "to stderr")


def test_a_log_that_cannot_be_opened_is_an_error_with_its_whole_path(place):
    with pytest.raises(OSError, match=f"'{place}/nowhere/l'"):
        log(place / "nowhere" / "l")
    with pytest.raises(OSError, match=f"'{place}'"):
        log(place)
