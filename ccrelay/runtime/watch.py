"""Detects that the configuration file may have changed: written, replaced, or a symlink swapped.

Directories are watched, not the file: editors and deployment tools replace the file, and a watch on
the old inode gets no events. Kubernetes swaps a symlink of the path, so the directory of every
symlink on the path is watched, too.
"""

import threading
from collections.abc import Callable
from pathlib import Path

DEBOUNCE_MS = 100  # events are collected this long: editors write in several steps
POLL_MS = 100  # interval at which watchfiles reads kernel events: 0.06 % of a core
RETRY_S = 1.0  # interval of retries while a directory is missing
FAILURES_BEFORE_REPORT = 2  # the first may be a directory that is being replaced
STOP_S = 1.0
SYMLINKS_MAX = 40  # as in the kernel, path_resolution(7)


class Watcher:
    """Calls `on_change` in its own thread when the file may have changed.

    Also once at the start, because a change before the watch cannot be detected.

    Args:
        path: the file.
        on_change: called in the thread.
        on_failure: called in the thread, with the reason, when watching fails repeatedly; once
            until it works again.
    """

    def __init__(
        self, path: Path, on_change: Callable[[], None], on_failure: Callable[[str], None]
    ) -> None:
        self._path = path
        self._on_change = on_change
        self._on_failure = on_failure
        self._failures = 0  # since it last worked
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ccrelay-watch", daemon=True)

    def start(self) -> None:
        """Start the thread, which imports watchfiles: 2 MB, 15 ms."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; returns at once."""
        self._stop.set()

    def join(self) -> None:
        """Stop and wait: a thread inside watchfiles must not outlive the interpreter."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch(watched_paths(self._path))
            except (OSError, RuntimeError) as error:
                # A missing directory, or a system limit, for which watchfiles raises a subclass of
                # RuntimeError.
                self._failures += 1
                if self._failures == FAILURES_BEFORE_REPORT:
                    self._on_failure(str(error))
                self._stop.wait(RETRY_S)

    def _watch(self, watched: list[Path]) -> None:
        from watchfiles import watch

        names = set(map(str, watched))
        folder_ids = _folder_ids(watched)
        changes = watch(
            *dict.fromkeys(path.parent for path in watched),
            # No filter: while only other files change, such as a log in the same directory, a
            # filter would keep watchfiles from yielding, and on_change would not be called first.
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=POLL_MS,
            stop_event=self._stop,
            rust_timeout=int(RETRY_S * 1000),
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
        )
        is_first = True
        for found in changes:
            if is_first or any(name in names for _, name in found):
                self._on_change()
            is_first = False
            self._failures = 0
            if watched_paths(self._path) != watched or _folder_ids(watched) != folder_ids:
                return  # the new watch starts with on_change


def _folder_ids(watched: list[Path]) -> list[tuple[int, int]]:
    # A directory that was replaced has another inode, and the old watch gets no events of it.
    found = [path.parent.stat() for path in watched]
    return [(folder.st_dev, folder.st_ino) for folder in found]


def watched_paths(path: Path) -> list[Path]:
    """The symlinks on the path of a file, then the file, each as a path without other symlinks.

    Raises OSError when a symlink cannot be read, or on a symlink loop.
    """
    parts = list(path.absolute().parts)
    at = Path(parts.pop(0))
    found: list[Path] = []
    while parts:
        part = parts.pop(0)
        if part == "..":
            at = at.parent
        elif not (at / part).is_symlink():
            at = at / part
        else:
            found.append(at / part)
            if len(found) > SYMLINKS_MAX:
                raise OSError(f"too many symlinks in the path of {path}")
            target = (at / part).readlink()
            at = Path(target.anchor) if target.is_absolute() else at
            parts = [*target.relative_to(target.anchor).parts, *parts]
    return [*found, at]
