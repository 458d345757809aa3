"""What each library sent when it was recorded: tests/corpus/clouds/credentials."""

import json
import urllib.parse
from pathlib import Path
from typing import Any

from tests.unit.credentials.services import Asked, Service

FOLDER = Path(__file__).parents[2] / "corpus" / "clouds" / "credentials"
# Differ from call to call.
CHANGING = {
    *("RoleSessionName", "assertion", "client_assertion"),
}


def recorded(name: str) -> list[dict[str, Any]]:
    requests: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())
    return requests


def assert_as_recorded(name: str, service: Service) -> None:
    """Compare method, path and form of every request."""
    wanted = [(one["method"], one["target"], _form(one["body"])) for one in recorded(name)]
    assert [(one.method, one.target, _form(one.body)) for one in service.asked] == wanted
    for asked, one in zip(service.asked, recorded(name), strict=True):
        for header, value in one["headers"].items():
            assert _header(asked, header) == value, header


def _form(body: str) -> dict[str, str]:
    form = dict(urllib.parse.parse_qsl(body))
    return {key: "" if key in CHANGING else value for key, value in form.items()} or {"": body}


def _header(asked: Asked, name: str) -> str:
    return asked.headers.get(name, "")
