"""Opens files after a look at everything on the way to them: the door for `config.ownership`.

The way is walked by descriptors, each opened in the one before and without following symlinks, so
that what is judged is what is opened.
"""

import errno
import grp
import os
import pwd
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from ccrelay.config.ownership import (
    Step,
    Trust,
    are_checks_on,
    has_group_writers,
    log_refusal,
    refusal,
    trusted_uids,
)
from ccrelay.config.problems import quoted_path

SYMLINKS_MAX = 40  # as in the kernel, path_resolution(7)
# Only to look names up in: Linux and macOS let a folder be opened that may not be listed.
_SEARCH: int = getattr(os, "O_PATH", getattr(os, "O_SEARCH", os.O_RDONLY))
_FOLDER = _SEARCH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking: opening a FIFO must not wait. Callers refuse it.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Open in this process already: the caller has chosen it, and its name leads nowhere.
_INHERITED = re.compile(r"/dev/(?:stdin|fd/[0-9]+)\Z")
_OUTPUT = re.compile(r"/dev/(stdout|stderr|fd/([0-9]+))\Z")
_ACL = "system.posix_acl_access"


class Untrusted(PermissionError):
    """Others can change the file; `str()` says who, and the command that mends it."""


def open_trusted(path: Path, env: Mapping[str, str]) -> int:
    """Open a file or folder for reading that only this user and root can change.

    Args:
        path: relative paths are based on the working directory.
        env: may switch the checks off.

    Raises:
        Untrusted: others can change it.
        OSError: it cannot be opened.
    """
    if not are_checks_on(env) or _INHERITED.match(str(path)):
        return os.open(path, _FILE & ~os.O_NOFOLLOW)
    walk = _Walk()
    try:
        walk.to(path)
        reason = refusal(walk.steps, _trust(walk.steps, env))
        if reason is not None:
            raise Untrusted(reason)
    except BaseException:
        os.close(walk.fd)
        raise
    return walk.fd


def open_log(path: str, env: Mapping[str, str]) -> int:
    """Open or create (mode 0600) a file to append to, without following a symlink at its end.

    `/dev/stdout`, `/dev/stderr` and `/dev/fd/N`, which are symlinks, are the process's own.

    Raises:
        Untrusted: it is a symlink, no regular file, or others can write it.
        OSError: it cannot be opened.
    """
    place = os.path.abspath(os.path.expanduser(path))
    if own := _OUTPUT.match(place):
        return os.dup({"stdout": 1, "stderr": 2}.get(own[1]) or int(own[2]))
    try:
        folder = os.open(os.path.dirname(place), _FOLDER & ~os.O_NOFOLLOW)
        try:
            return _open_log(place, folder, env)
        finally:
            os.close(folder)
    except OSError as error:
        name = quoted_path(place)
        if error.errno in (errno.ELOOP, errno.EMLINK):  # EMLINK: FreeBSD
            raise Untrusted(f"{name} is a symbolic link; name the file itself") from None
        if error.errno == errno.ENXIO:  # a FIFO or a socket without a reader
            raise Untrusted(f"{name} is not a regular file; name another log file") from None
        if error.filename is not None:
            error.filename = place  # the whole path, not a part of it
        raise


def _open_log(place: str, folder: int, env: Mapping[str, str]) -> int:
    fd = os.open(os.path.basename(place), _LOG | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        if are_checks_on(env):
            _check_log(place, folder, fd, env)
        os.set_blocking(fd, True)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check_log(place: str, folder: int, fd: int, env: Mapping[str, str]) -> None:
    # Who may write to the folder can link another file in, and take the link away once it is open:
    # so it must be there still, and be the only one before and after that look.
    names = os.fstat(fd).st_nlink
    by_name = os.stat(os.path.basename(place), dir_fd=folder, follow_symlinks=False)
    status = os.fstat(fd)
    if not os.path.samestat(by_name, status):
        raise Untrusted(f"{quoted_path(place)} was replaced while it was opened; try again")
    parent = _step(os.path.dirname(place), os.fstat(folder))
    file = _step(place, status, fd)
    links = max(names, status.st_nlink)
    reason = log_refusal(parent, file, links, _trust([parent, file], env))
    if reason is not None:
        raise Untrusted(reason)


def _trust(steps: list[Step], env: Mapping[str, str]) -> Trust:
    uids = trusted_uids(os.geteuid(), env)
    return Trust(uids, _private_groups(uids) if has_group_writers(steps) else frozenset())


def _private_groups(uids: frozenset[int]) -> frozenset[int]:
    """Return the groups of which each has only the user as a member whose name it has.

    Debian, Fedora and others make one for every user, with a umask of 002.
    """
    found = set()
    for uid in uids:
        try:
            user = pwd.getpwuid(uid)
            group = grp.getgrgid(user.pw_gid)
        except KeyError:  # as in many containers
            continue
        if group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}:
            found.add(user.pw_gid)
    if found:
        found -= {other.pw_gid for other in pwd.getpwall() if other.pw_uid not in uids}
    return frozenset(found)


class _Walk:
    """Follows a path from the root folder, and keeps what it passes.

    `fd` is the last folder or file, which the caller closes, `steps` the way to it.
    """

    def __init__(self) -> None:
        self.fd = os.open("/", _FOLDER)
        self.steps = [_step("/", os.fstat(self.fd))]
        self._at = "/"
        self._links = 0

    def to(self, path: Path) -> None:
        """Open it. Raises OSError."""
        names = [name for name in os.path.join(os.getcwd(), path).split("/") if name]
        if not names:
            names = ["."]
        while names:
            name = names.pop(0)
            place = os.path.normpath(os.path.join(self._at, name))
            target = self._link_target(name, place)
            if target is None:
                self._enter(name, place, is_last=not names)
                continue
            if target.startswith("/"):
                self._enter("/", "/", is_last=False)
            names = [*(part for part in target.split("/") if part), *names]

    def _link_target(self, name: str, place: str) -> str | None:
        status = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            return None
        self._links += 1
        if self._links > SYMLINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), place)
        self.steps.append(_step(place, status))
        return os.readlink(name, dir_fd=self.fd)

    def _enter(self, name: str, place: str, *, is_last: bool) -> None:
        fd = os.open(name, _FILE if is_last else _FOLDER, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = fd
        self._at = place
        self.steps.append(_step(place, os.fstat(fd), fd if is_last else None))


def _step(place: str, status: os.stat_result, fd: int | None = None) -> Step:
    has_acl = bool(status.st_mode & stat.S_IWGRP) and _has_acl(place, fd)
    return Step(place, status.st_mode, status.st_uid, status.st_gid, has_acl)


def _has_acl(place: str, fd: int | None) -> bool:
    """Whether a list of Linux grants access to more users and groups, acl(5)."""
    if not hasattr(os, "getxattr"):
        return False
    try:
        os.getxattr(place if fd is None else fd, _ACL)
    except OSError:  # there is none, or the filesystem has no such lists
        return False
    return True
