import stat

import pytest

from ccrelay.config.ownership import (
    Step,
    Trust,
    are_checks_on,
    has_group_writers,
    log_refusal,
    refusal,
    trusted_uids,
)

ME, ROOT, OTHER = 1000, 0, 1001
MY_GROUP, STAFF = 1000, 50
MINE = Trust(frozenset({ME, ROOT}), frozenset({MY_GROUP}))
ROOTS = Trust(frozenset({ROOT}))


def folder(path: str, mode: int = 0o755, uid: int = ROOT, gid: int = 0, **more: bool) -> Step:
    return Step(path, stat.S_IFDIR | mode, uid, gid, **more)


def file(path: str, mode: int = 0o644, uid: int = ME, gid: int = MY_GROUP, **more: bool) -> Step:
    return Step(path, stat.S_IFREG | mode, uid, gid, **more)


def link(path: str, uid: int = ROOT) -> Step:
    return Step(path, stat.S_IFLNK | 0o777, uid, 0)


TOP = [folder("/"), folder("/users")]
HOME = [*TOP, folder("/users/me", 0o750, ME, MY_GROUP)]
TMP = [folder("/"), folder("/tmp", 0o1777)]
# As kubelet lays a ConfigMap out.
VOLUME = [folder("/"), folder("/etc"), folder("/etc/c", 0o1777), link("/etc/c/c.yaml")]
VOLUME += [link("/etc/c/..data"), folder("/etc/c/..1"), file("/etc/c/..1/c.yaml", uid=ROOT)]


@pytest.mark.parametrize(
    ("steps", "trust"),
    [
        ([*HOME, file("/users/me/c")], MINE),
        ([*HOME, file("/users/me/c", 0o600)], MINE),
        ([*HOME, file("/users/me/c", 0o664)], MINE),  # umask 002
        ([*TOP, folder("/users/me", 0o775, ME, MY_GROUP), file("/users/me/c", 0o664)], MINE),
        ([folder("/"), folder("/etc"), file("/etc/c", uid=ROOT, gid=0)], MINE),
        ([folder("/"), folder("/etc"), file("/etc/c", 0o640, ROOT, STAFF)], MINE),
        ([folder("/"), folder("/etc"), file("/etc/c", uid=ROOT, gid=0)], ROOTS),
        ([*TMP, file("/tmp/c")], MINE),
        ([*TMP, folder("/tmp/mine", 0o700, ME, MY_GROUP), file("/tmp/mine/c")], MINE),
        ([*TMP, link("/tmp/c", ME), folder("/"), file("/c", uid=ROOT)], MINE),
        # Only who may write to a folder can change a link in it, whoever owns the link.
        ([*HOME, link("/users/me/c", OTHER), file("/users/me/d")], MINE),
        (VOLUME, MINE),
        (VOLUME, ROOTS),
    ],
)
def test_files_that_only_their_reader_and_root_can_change_are_trusted(steps, trust):
    assert refusal(steps, trust) is None


NOT_MINE = "belongs to user 1001, neither to you (user 1000) nor to root: sudo chown"


@pytest.mark.parametrize(
    ("steps", "trust", "words"),
    [
        (
            [*HOME, file("/users/me/c", 0o666)],
            MINE,
            '"/users/me/c" can be written by every user (mode 0666): chmod o-w /users/me/c',
        ),
        (
            [*HOME, file("/users/me/c", 0o664, ME, STAFF)],
            MINE,
            '"/users/me/c" can be written by the group 50 (mode 0664): chmod g-w /users/me/c',
        ),
        (
            [*HOME, file("/users/me/c", 0o664, has_acl=True)],
            MINE,
            '"/users/me/c" can be written by the group 1000 (mode 0664): chmod g-w /users/me/c',
        ),
        ([*HOME, file("/users/me/c", 0o666, ME, STAFF)], MINE, "chmod go-w /users/me/c"),
        ([*HOME, file("/users/me/c", 0o1666)], MINE, "chmod o-w"),  # sticky is for folders
        (
            [*HOME, file("/users/me/c", uid=OTHER)],
            MINE,
            f'"/users/me/c" {NOT_MINE} 1000 /users/me/c',
        ),
        (
            [*TOP, folder("/users/me", 0o777, ME, MY_GROUP), file("/users/me/c")],
            MINE,
            'the folder "/users/me" can be written by every user (mode 0777): chmod o-w /users/me',
        ),
        ([*TOP, folder("/users/me", 0o775, ME, STAFF), file("/users/me/c")], MINE, "chmod g-w"),
        # Above the folder, too.
        ([folder("/"), folder("/srv", 0o777), *HOME[2:], file("/srv/me/c")], MINE, '"/srv"'),
        ([folder("/"), folder("/srv", uid=OTHER), *HOME[2:], file("/srv/me/c")], MINE, '"/srv"'),
        ([folder("/", 0o777), *HOME[1:], file("/users/me/c")], MINE, 'the folder "/"'),
        # In a shared folder others may have been first.
        ([*TMP, file("/tmp/c", uid=OTHER)], MINE, '"/tmp/c" belongs'),
        ([*TMP, folder("/tmp/x", uid=OTHER), file("/tmp/x/c")], MINE, 'the folder "/tmp/x"'),
        (
            [*TMP, link("/tmp/c", OTHER), *HOME, file("/users/me/c")],
            MINE,
            f'the link "/tmp/c" {NOT_MINE} -h 1000 /tmp/c',
        ),
        ([folder("/"), folder("/tmp", 0o1777, OTHER), file("/tmp/c")], MINE, '"/tmp" belongs'),
        # The target of a link is judged as the file itself.
        ([*HOME, link("/users/me/c"), *TMP, file("/tmp/c", 0o666)], MINE, '"/tmp/c" can be'),
        ([*HOME, link("/users/me/c"), *TOP, folder("/users/x", uid=OTHER)], MINE, '"/users/x"'),
        # As root: no other user's.
        (
            [folder("/"), file("/c", uid=ME)],
            ROOTS,
            '"/c" belongs to user 1000, not to root: chown root /c',
        ),
        ([*HOME, file("/users/me/c", uid=ROOT)], ROOTS, 'the folder "/users/me" belongs'),
        # Names from a strange folder do not reach the terminal as they are.
        ([*HOME, file("/users/me/a b\x1b[2J", 0o666)], MINE, "chmod o-w '/users/me/a b?[2J'"),
    ],
)
def test_files_that_others_can_change_are_refused_with_the_command_that_mends_it(
    steps, trust, words
):
    reason = refusal(steps, trust)
    assert reason is not None
    assert words in reason
    assert "\x1b" not in reason


@pytest.mark.parametrize(
    ("euid", "env", "uids"),
    [
        (ME, {}, {ME, ROOT}),
        (ME, {"SUDO_UID": "1001"}, {ME, ROOT}),
        (ROOT, {}, {ROOT}),
        (ROOT, {"SUDO_UID": "1000"}, {ROOT, ME}),
        (ROOT, {"SUDO_UID": ""}, {ROOT}),
        (ROOT, {"SUDO_UID": "-1"}, {ROOT}),
        (ROOT, {"SUDO_UID": "²"}, {ROOT}),
    ],
)
def test_root_also_trusts_the_user_who_called_sudo(euid, env, uids):
    assert trusted_uids(euid, env) == uids


@pytest.mark.parametrize("value", ["", "on", "OFF", "off ", "0", "false", "no"])
def test_only_the_word_off_switches_the_checks_off(value):
    assert are_checks_on({"CCRELAY_FILE_CHECKS": value})
    assert are_checks_on({})
    assert not are_checks_on({"CCRELAY_FILE_CHECKS": "off"})


def test_groups_are_looked_up_only_where_one_may_write():
    assert not has_group_writers([*HOME, link("/users/me/c"), file("/users/me/c")])
    assert has_group_writers([*HOME, file("/users/me/c", 0o664)])


LOGS = folder("/var/log", 0o775, ROOT, STAFF)  # as on Ubuntu
NULL = Step("/dev/null", stat.S_IFCHR | 0o666, ROOT, 0)


@pytest.mark.parametrize(
    ("parent", "log", "links", "words"),
    [
        (LOGS, file("/var/log/l", 0o600), 1, None),
        (LOGS, file("/var/log/l", 0o644), 1, None),  # of earlier versions
        (LOGS, file("/var/log/l", 0o664), 1, None),
        (LOGS, file("/var/log/l", 0o640, ROOT, STAFF), 1, None),
        (LOGS, file("/var/log/l", 0o600), 0, None),  # removed meanwhile
        (TMP[1], file("/tmp/l", 0o600), 1, None),
        (folder("/dev"), NULL, 1, None),
        (LOGS, file("/var/log/l", uid=OTHER), 1, '"/var/log/l" belongs to user 1001'),
        (TMP[1], file("/tmp/l", uid=OTHER), 1, '"/tmp/l" belongs to user 1001'),
        (LOGS, file("/var/log/l", 0o666), 1, "chmod o-w /var/log/l"),
        (LOGS, file("/var/log/l", 0o660, ME, STAFF), 1, "chmod g-w /var/log/l"),
        (LOGS, file("/var/log/l", 0o600, ROOT), 2, '"/var/log/l" is a hard link'),
        (folder("/l", 0o777), file("/l/l", 0o600), 1, 'the folder "/l" can be written by every'),
        (LOGS, Step("/var/log/l", stat.S_IFIFO | 0o600, ME, 0), 1, "is not a regular file"),
        (LOGS, Step("/var/log/l", stat.S_IFCHR | 0o600, ME, 0), 1, "is not a regular file"),
    ],
)
def test_a_log_file_is_ours_alone(parent, log, links, words):
    reason = log_refusal(parent, log, links, MINE)
    assert reason is None if words is None else words in str(reason)
