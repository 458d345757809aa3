"""Model ids in the paths of clouds, quoted as the official clients quote them.

A raw `:` and `@` stay, `/` of an ARN becomes `%2F`. An id that would be another path is refused: a
`.` or `..`, an empty one, one with control characters.
"""

import re
from urllib.parse import quote

from ccrelay.errors import CannotServe

MODEL_CHARS_MAX = 2048  # an ARN has at most that many
# What is in no id: white space, control characters, what ends a path, escapes, lone surrogates.
_ODD = re.compile(r"[\x00-\x20\x7f-\x9f\\?#%;]|[^\x00-\ud7ff\ue000-\uffff]")
_DOTS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")


def quoted_model(model: str, safe: str) -> str:
    """A model id as one segment of a path. `safe`: characters that stay.

    Raises:
        CannotServe: it is no id.
    """
    if not model or len(model) > MODEL_CHARS_MAX or _ODD.search(model) or _DOTS.search(model):
        shown = model if len(model) <= 100 else model[:100] + "..."
        raise CannotServe(f"{shown!r} is no model id of a cloud: check model_mapping.")
    return quote(model, safe=safe)


def quoted_name(name: str) -> str:
    """A project or location as one segment of a path.

    Raises:
        ValueError: it is none. Names come from the configuration.
    """
    if not name or _ODD.search(name) or _DOTS.search(name):
        raise ValueError(f"{name!r} is no name of a project or location")
    return quote(name, safe=":@")  # projects of a domain: example.com:name
