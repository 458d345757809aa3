"""Compares the committed web page with a fresh build: `check_web.py BUILT COMMITTED`.

Exit status 1 when a file differs, or when a browser would have to load too much.
"""

import gzip
import sys
from pathlib import Path

GZIP_MAX = 120_000  # bytes of all that a browser loads for the page
LOADED = (".css", ".html", ".js")


def files_of(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by their path in it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def problems_of(built: dict[str, bytes], committed: dict[str, bytes]) -> list[str]:
    """What differs."""
    if "index.html" not in built:
        return ["the build has no index.html"]
    names = sorted(built.keys() | committed.keys())
    told = "run `npm ci && npm run build` in ccrelay/web, and commit dist"
    return [
        f"dist/{name} is not what its sources are built to: {told}"
        for name in names
        if built.get(name) != committed.get(name)
    ]


def gzip_size(files: dict[str, bytes]) -> int:
    """The bytes of what a browser loads, each file packed as the relay does it."""
    loaded = [data for name, data in files.items() if name.endswith(LOADED)]
    return sum(len(gzip.compress(data, 9, mtime=0)) for data in loaded)


def main() -> int:
    """Check both folders; the exit status."""
    built, committed = (files_of(Path(argument)) for argument in sys.argv[1:])
    problems = problems_of(built, committed)
    size = gzip_size(committed)
    if size > GZIP_MAX:
        problems.append(f"the page has {size:,} bytes packed, and may have {GZIP_MAX:,}")
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    sys.stdout.write(f"the page: {len(committed)} files, {size:,} bytes packed by gzip\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
