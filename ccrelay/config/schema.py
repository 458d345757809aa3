"""JSON Schema of the configuration, for editors and other tools."""

from typing import Any

import msgspec

from ccrelay.config.model import Config

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the schema of msgspec, with title and description, adapted for editors.

    Sections may be null (`logging:` with all lines commented out), as in the loader. Titles, empty
    `required` lists and null defaults are removed.
    """
    generated = msgspec.json.schema(Config)
    definitions = generated["$defs"]
    root = definitions.pop("Config")
    for section in [root, *definitions.values()]:
        _polish(section)
    root["description"] = "Configuration of ccrelay. Unknown keys are errors."
    return {
        "$schema": DRAFT,
        "title": "ccrelay",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _polish(section: dict[str, Any]) -> None:
    section.pop("title", None)
    if not section.get("required"):
        section.pop("required", None)
    for member in section["properties"].values():
        if "default" in member and member["default"] is None:
            del member["default"]
        reference = member.pop("$ref", None)
        if reference is not None:
            member["anyOf"] = [{"$ref": reference}, {"type": "null"}]
