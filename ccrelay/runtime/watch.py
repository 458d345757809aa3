"""Notice that the configuration file may have changed: written, replaced, or behind another link.

Folders are watched, not the file: an editor or a deployment tool puts a new file in its place, and
a watch on the old one hears of nothing. Kubernetes swaps a symbolic link on the way to it, so every
link on the way is watched, too.
"""

import threading
from collections.abc import Callable
from pathlib import Path

DEBOUNCE_MS = 100  # changes are gathered this long: editors write in several steps
STEP_MS = 100  # how often watchfiles looks at what the kernel told: 0.06 % of a core
AGAIN_S = 1.0  # a folder that is gone is looked for this often
FAILURES_TOLD = 2  # the first may be a link or a folder that is just being replaced
STOP_S = 1.0
LINKS_MAX = 40  # as the kernel follows, path_resolution(7)


class Watcher:
    """Calls `changed` from a thread of its own, without saying what changed, if anything did.

    Once at the beginning, too: what happened before nobody watched is not known.

    Args:
        path: the file.
        changed: called in the thread.
        failed: called in the thread, with the reason, when watching is not possible for more than
            a moment; once until it works again.
    """

    def __init__(
        self, path: Path, changed: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        self._path = path
        self._changed = changed
        self._failed = failed
        self._failures = 0  # since it last worked
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ccrelay-watch", daemon=True)

    def start(self) -> None:
        """Begin. watchfiles is imported in the thread: 2 MB, 15 ms."""
        self._thread.start()

    def stop(self) -> None:
        """End soon; returns at once."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end. A thread inside watchfiles must not live on while Python ends."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch(steps(self._path))
            except (OSError, RuntimeError) as error:
                # A folder is gone, or a limit of the system is reached: watchfiles has an error of
                # its own for that, a RuntimeError.
                self._failures += 1
                if self._failures == FAILURES_TOLD:
                    self._failed(str(error))
                self._stop.wait(AGAIN_S)

    def _watch(self, watched: list[Path]) -> None:
        from watchfiles import watch

        names = set(map(str, watched))
        folders = _folders(watched)
        changes = watch(
            *dict.fromkeys(step.parent for step in watched),
            # All of it: while only other files change, a log beside ours say, a filter would keep
            # watchfiles from ever coming back here, and the first look below would not happen.
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=self._stop,
            rust_timeout=int(AGAIN_S * 1000),
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
        )
        is_first = True
        for found in changes:
            if is_first or any(name in names for _, name in found):
                self._changed()
            is_first = False
            self._failures = 0
            if steps(self._path) != watched or _folders(watched) != folders:
                return  # begins again, and so tells of it


def _folders(watched: list[Path]) -> list[tuple[int, int]]:
    # A folder that was made anew is another one, and nothing is heard from it.
    found = [step.parent.stat() for step in watched]
    return [(folder.st_dev, folder.st_ino) for folder in found]


def steps(path: Path) -> list[Path]:
    """The links on the way to a file, and the file, each by a path without other links.

    Raises OSError when a link cannot be read or leads in circles.
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
            if len(found) > LINKS_MAX:
                raise OSError(f"too many links on the way to {path}")
            target = (at / part).readlink()
            at = Path(target.anchor) if target.is_absolute() else at
            parts = [*target.relative_to(target.anchor).parts, *parts]
    return [*found, at]
