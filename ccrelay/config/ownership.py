"""Judges who can change a file, by the owners and modes of everything on the way to it.

A file is trusted when only its reader or root can write it, or put another one in its place: as git
(safe.directory) and OpenSSH (StrictModes) ask it. Access control lists of macOS are not read; those
of Linux show in the group bits.
"""

import shlex
import stat
from collections.abc import Mapping, Sequence

import msgspec

from ccrelay.config.problems import quoted_path

VARIABLE = "CCRELAY_FILE_CHECKS"  # `off` switches the checks off; a file cannot do that itself
ROOT_UID = 0


class Step(msgspec.Struct, frozen=True):
    """A folder, symlink or file on the way: absolute path, `st_mode`, owner and group."""

    path: str
    mode: int
    uid: int
    gid: int
    has_acl: bool = False  # its group bits are for others than the group, too

    @property
    def is_folder(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


class Trust(msgspec.Struct, frozen=True):
    """Who may write: users, and groups that have no other members than these."""

    uids: frozenset[int]
    gids: frozenset[int] = frozenset()


def are_checks_on(env: Mapping[str, str]) -> bool:
    """Whether owners and modes are judged. Only the exact word `off` switches it off."""
    return env.get(VARIABLE) != "off"


def trusted_uids(euid: int, env: Mapping[str, str]) -> frozenset[int]:
    """Return the users whose files are trusted: the effective one and root.

    As root also the user who called sudo(8), as for git: that user chose the command and the file,
    and `sudo ccrelay serve` in one's own home must not require to chown the file.
    """
    uids = {euid, ROOT_UID}
    sudo_uid = env.get("SUDO_UID", "")
    if euid == ROOT_UID and sudo_uid.isascii() and sudo_uid.isdigit():
        uids.add(int(sudo_uid))
    return frozenset(uids)


def has_group_writers(steps: Sequence[Step]) -> bool:
    """Whether the judgement depends on groups, whose members take a look-up."""
    return any(step.mode & stat.S_IWGRP and not step.is_link for step in steps)


def refusal(steps: Sequence[Step], trust: Trust) -> str | None:
    """Return why a file is not trusted, and the command that mends it; None: it is trusted.

    Args:
        steps: the way from the root folder to the file, in order; a symlink is followed by the
            steps of its target.
        trust: who may write.
    """
    folder_is_shared = False  # others may add entries to it, but not replace those of the trusted
    for step in steps:
        if step.is_link:
            # Elsewhere its owner cannot change it: that takes a write to its folder.
            if folder_is_shared and step.uid not in trust.uids:
                return _by_owner(step, trust)
            continue
        if step.uid not in trust.uids:
            return _by_owner(step, trust)
        writers = _writers(step, trust)
        folder_is_shared = step.is_folder and bool(writers)
        if writers and not (step.is_folder and step.mode & stat.S_ISVTX):
            return _by_mode(step, writers)
    return None


def log_refusal(folder: Step, file: Step, links: int, trust: Trust) -> str | None:
    """Return why an open log file is not used; None: it is.

    More is allowed than for a file that is read: its folder may be writable by a group, as /var/log
    is on Ubuntu, because the last name is not followed when it is a symlink, and a hard link to
    another file is refused.

    Args:
        folder: the folder of the file.
        file: the open file.
        links: its number of names.
        trust: who may own it.
    """
    if folder.mode & stat.S_IWOTH and not folder.mode & stat.S_ISVTX:
        return _by_mode(folder, "o")
    if stat.S_ISCHR(file.mode) and file.uid == ROOT_UID:
        return None  # /dev/null: only root can make one
    if not stat.S_ISREG(file.mode):
        return f"{quoted_path(file.path)} is not a regular file; name another log file"
    if file.uid not in trust.uids:
        return _by_owner(file, trust)
    if links > 1:
        name = quoted_path(file.path)
        return f"{name} is a hard link to another file; move it away, or name another log file"
    writers = _writers(file, trust)
    return _by_mode(file, writers) if writers else None


def _writers(step: Step, trust: Trust) -> str:
    """Return who else may write, in the letters of chmod(1): "", "g", "o" or "go"."""
    is_private = step.gid in trust.gids and not step.has_acl
    group = "g" if step.mode & stat.S_IWGRP and not is_private else ""
    return group + ("o" if step.mode & stat.S_IWOTH else "")


def _by_mode(step: Step, writers: str) -> str:
    who = "every user" if "o" in writers else f"the group {step.gid}"
    mode = f"mode {stat.S_IMODE(step.mode):04o}"
    return f"{_name(step)} can be written by {who} ({mode}): chmod {writers}-w {_shell(step)}"


def _by_owner(step: Step, trust: Trust) -> str:
    if trust.uids == {ROOT_UID}:
        return f"{_name(step)} belongs to user {step.uid}, not to root: chown root {_shell(step)}"
    uid = max(trust.uids)
    whose = f"belongs to user {step.uid}, neither to you (user {uid}) nor to root"
    flag = "-h " if step.is_link else ""
    return f"{_name(step)} {whose}: sudo chown {flag}{uid} {_shell(step)}"


def _name(step: Step) -> str:
    kind = "the folder " if step.is_folder else "the link " if step.is_link else ""
    return kind + quoted_path(step.path)


def _shell(step: Step) -> str:
    return shlex.quote("".join(c if c.isprintable() else "?" for c in step.path))
