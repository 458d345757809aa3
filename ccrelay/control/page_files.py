"""The files of the web page, as they were built: `ccrelay/web/dist`.

They are listed and read at the first request. A request is looked up in that list and leads to no
path, so that it cannot leave the folder.
"""

import asyncio
import gzip
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from ccrelay.control.authorise import ASSETS, FILES
from ccrelay.control.http import HttpRequest, HttpResponse, Lines

DIST = Path(__file__).parents[1] / "web" / "dist"
INDEX = "/"
FILE_MAX = 4 * 1024 * 1024
FILES_MAX = 200

# Nothing inline, nothing from elsewhere, in no frame; styles and scripts are files of ours.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Lines = (
    ("content-security-policy", POLICY),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
)
NEVER_OLD = ("cache-control", "no-cache")
FOR_EVER = ("cache-control", "public, max-age=31536000, immutable")  # names have a hash
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
MISSING = (
    "The web page is not built in this checkout: run `npm ci && npm run build` in ccrelay/web.\n"
    "The command line has the same figures: ccrelay status\n"
)


class _File(NamedTuple):
    """One file.

    Args:
        body: as it is.
        packed: by gzip; None: that is no shorter.
        kind: content type.
        digest: of the body, for `etag`.
        cache: the line that says how long it may be kept.
    """

    body: bytes
    packed: bytes | None
    kind: str
    digest: str
    cache: tuple[str, str]


class PageFiles:
    """Answers requests for files of the page.

    Args:
        folder: with `index.html`, `assets`, and the files whose names stay.
    """

    def __init__(self, folder: Path = DIST) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a GET or HEAD."""
        if not self._files:  # perhaps it has been built meanwhile
            self._files = await asyncio.to_thread(_read_all, self._folder)
        file = self._files.get(request.path)
        if file is not None:
            return _answer(file, request)
        message = "There is no such file.\n" if self._files else MISSING
        return HttpResponse(message.encode(), 404, headers=HEADERS)


def _answer(file: _File, request: HttpRequest) -> HttpResponse:
    is_packed = file.packed is not None and _takes_gzip(request)
    tag = f'"{file.digest}{"-gzip" if is_packed else ""}"'
    headers = [*HEADERS, file.cache, ("etag", tag), ("vary", "accept-encoding")]
    known = request.header("if-none-match")
    if tag in (each.strip().removeprefix("W/") for each in known.split(",")):
        return HttpResponse(b"", 304, headers=headers)
    if is_packed:
        headers.append(("content-encoding", "gzip"))
    body = file.packed if is_packed and file.packed is not None else file.body
    return HttpResponse(body, content_type=file.kind, headers=headers)


def _takes_gzip(request: HttpRequest) -> bool:
    for each in request.header("accept-encoding").lower().split(","):
        name, _, parameter = each.partition(";")
        if name.strip() in ("gzip", "*"):
            return parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


# ---- from the disk


def _read_all(folder: Path) -> dict[str, _File]:
    """Return all files by their path in URLs; nothing without `index.html`."""
    index = _read(folder / "index.html", NEVER_OLD)
    if index is None:
        return {}
    found = {INDEX: index}
    for name in FILES:
        file = _read(folder / name.removeprefix("/"), NEVER_OLD)
        if file is not None:
            found[name] = file
    for path in sorted((folder / "assets").glob("*"))[:FILES_MAX]:
        file = _read(path, FOR_EVER)
        if file is not None:
            found[f"{ASSETS}{path.name}"] = file
    return found


def _read(path: Path, cache: tuple[str, str]) -> _File | None:
    """Return a regular file of a kind that is served; None: it is none."""
    kind = TYPES.get(path.suffix)
    try:
        if kind is None or not path.is_file() or os.path.getsize(path) > FILE_MAX:
            return None
        body = path.read_bytes()
    except OSError:
        return None
    packed = gzip.compress(body, 9, mtime=0)
    digest = hashlib.sha256(body).hexdigest()[:32]
    return _File(body, packed if len(packed) < len(body) else None, kind, digest, cache)
