import asyncio
import gzip
from pathlib import Path

import pytest

from ccrelay.control.http import HttpRequest, HttpResponse
from ccrelay.control.page_files import MISSING, POLICY, PageFiles

SCRIPT = b"console.log('page');\n" * 50


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>ccrelay</title>")
    (folder / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "assets" / "app-1a2b.js").write_bytes(SCRIPT)
    (folder / "assets" / "app-3c4d.css").write_text("body{}")
    (folder / "assets" / "notes.exe").write_text("no kind that is served")
    (folder / "assets" / "folder.js").mkdir()
    (folder / "other.html").write_text("not listed")
    (tmp_path / "secret.js").write_text("outside")
    return folder


def get(files: PageFiles, path: str, **headers: str) -> HttpResponse:
    lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return asyncio.run(files.answer(HttpRequest("GET", path, "", lines)))


def header(response: HttpResponse, name: str) -> str:
    values = [value for key, value in response.headers if key == name]
    assert len(values) <= 1
    return values[0] if values else ""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/favicon.svg", "image/svg+xml"),
        ("/assets/app-1a2b.js", "text/javascript; charset=utf-8"),
        ("/assets/app-3c4d.css", "text/css; charset=utf-8"),
    ],
)
def test_files_have_their_kind_and_say_how_long_they_last(dist: Path, path: str, kind: str) -> None:
    answer = get(PageFiles(dist), path)
    name = "index.html" if path == "/" else path[1:]
    assert (answer.status, answer.body) == (200, (dist / name).read_bytes())
    assert answer.content_type == kind
    is_named_by_hash = path.startswith("/assets/")
    expected = "public, max-age=31536000, immutable" if is_named_by_hash else "no-cache"
    assert header(answer, "cache-control") == expected


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/notes.exe",
        "/assets/folder.js",
        "/assets/none.js",
        "/index.html",
        "/other.html",
        "/assets/../other.html",
        "/assets/../../secret.js",
        "/assets/..%2f..%2fsecret.js",
        "/assets//app-1a2b.js",
        "/assets/app-1a2b.js/",
        "/ASSETS/app-1a2b.js",
        "/assets/app-1a2b.js\0",
    ],
)
def test_nothing_else_is_served(dist: Path, path: str) -> None:
    answer = get(PageFiles(dist), path)
    assert answer.status == 404
    assert answer.content_type.startswith("text/plain")


@pytest.mark.parametrize("path", ["/", "/assets/app-1a2b.js", "/assets/none.js"])
def test_every_answer_says_what_the_page_may_do(dist: Path, path: str) -> None:
    answer = get(PageFiles(dist), path)
    assert header(answer, "content-security-policy") == POLICY
    assert header(answer, "referrer-policy") == "no-referrer"
    assert header(answer, "cross-origin-opener-policy") == "same-origin"
    assert header(answer, "cross-origin-resource-policy") == "same-origin"
    assert header(answer, "x-frame-options") == "DENY"


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["form-action"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in POLICY
    assert "*" not in POLICY


@pytest.mark.parametrize(
    ("accepts", "is_packed"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("xgzip", False),
    ],
)
def test_who_takes_gzip_gets_it(dist: Path, accepts: str, is_packed: bool) -> None:
    answer = get(PageFiles(dist), "/assets/app-1a2b.js", accept_encoding=accepts)
    assert header(answer, "content-encoding") == ("gzip" if is_packed else "")
    assert header(answer, "vary") == "accept-encoding"
    assert (gzip.decompress(answer.body) if is_packed else answer.body) == SCRIPT
    assert is_packed == (len(answer.body) < len(SCRIPT))


def test_what_gzip_makes_longer_is_sent_as_it_is(dist: Path) -> None:
    answer = get(PageFiles(dist), "/assets/app-3c4d.css", accept_encoding="gzip")
    assert (answer.body, header(answer, "content-encoding")) == (b"body{}", "")


def test_what_the_browser_has_is_not_sent_again(dist: Path) -> None:
    files = PageFiles(dist)
    path = "/assets/app-1a2b.js"
    plain = header(get(files, path), "etag")
    packed = header(get(files, path, accept_encoding="gzip"), "etag")
    assert plain != packed  # other bytes
    for known in (plain, f'"x", {plain}', f"W/{plain}"):
        answer = get(files, path, if_none_match=known)
        assert (answer.status, answer.body) == (304, b"")
        assert header(answer, "etag") == plain
    assert get(files, path, if_none_match=packed).status == 200
    assert get(files, path, if_none_match='"x"').status == 200


def test_it_is_read_once_and_a_missing_page_says_how_to_build_it(dist: Path) -> None:
    hidden = dist.rename(dist.with_name("hidden"))
    files = PageFiles(dist)
    answer = get(files, "/")
    assert (answer.status, answer.body) == (404, MISSING.encode())
    assert b"npm" in answer.body
    hidden.rename(dist)
    assert get(files, "/").status == 200
    (dist / "index.html").write_text("changed")
    assert b"changed" not in get(files, "/").body
