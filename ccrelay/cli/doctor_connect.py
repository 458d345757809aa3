"""Check of `ccrelay doctor` on what `connect` wrote: settings do not follow the configuration."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ccrelay.cli.client_environment import BASE_URL, SECRETS, decide, environment
from ccrelay.cli.doctor_report import Finding
from ccrelay.cli.settings_merge import connect_change
from ccrelay.cli.settings_store import Store, StoreError, settings_file
from ccrelay.cli.settings_text import SettingsError, get, plain

if TYPE_CHECKING:
    from ccrelay.cli.client_facts import Facts
    from ccrelay.cli.settings_merge import Record

_ADDRESS = ("env", BASE_URL)


def check_connected(facts: "Facts", env: Mapping[str, str]) -> list[Finding]:
    """Tell of variables in Claude Code's settings that are those of another configuration.

    Args:
        facts: of the relay as it is.
        env: names the settings and their record.
    """
    try:
        store = Store(settings_file(env), env)
        text, record = store.text(), store.record()
        names = [] if text is None or record is None else _differing(text, record, facts)
    except (StoreError, SettingsError):
        return []  # who runs connect or disconnect is told
    if not names:
        return []
    return [
        Finding(
            "warn",
            "settings",
            f"connect wrote {', '.join(names)} for another configuration",
            f"Claude Code keeps to {store.file}.",
            "ccrelay connect",
        )
    ]


def _differing(text: str, record: "Record", facts: "Facts") -> list[str]:
    """Names of what another connect would change; credentials and the status line stay."""
    address = record.entries.get(_ADDRESS)
    if address is None or plain(get(text, _ADDRESS)) not in map(json.loads, address.ours):
        return []  # the user has led Claude Code elsewhere since
    wanted = {
        place: json.loads(entry.ours[0])
        for place, entry in record.entries.items()
        if place[0] != "env" or place[-1] in SECRETS
    }
    for name, value in environment(decide(facts, {})).items():
        if name not in SECRETS:
            wanted["env", name] = value
    new = connect_change(text, record, wanted, [_ADDRESS]).text or ""
    places = dict.fromkeys([*record.entries, *wanted])
    return [place[-1] for place in places if plain(get(text, place)) != plain(get(new, place))]
