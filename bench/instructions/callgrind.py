"""What callgrind wrote: the total of a process, and the part of each function.

The format is that of valgrind's manual, "Callgrind Format Specification", as written with
`positions: line` and `events: Ir`.
"""

import re
from collections import Counter
from pathlib import Path

_RECURSION = re.compile(r"'\d+$")  # `f'2` is `f` called by itself


def counted(file: Path) -> int:
    """The sum that callgrind wrote. Raises SystemExit without one."""
    for line in reversed(file.read_text().splitlines()):
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise SystemExit(f"bench: {file.name} holds no count: its process was ended too early")


def by_function(file: Path) -> Counter[str]:
    """Instructions of each function itself, without what it calls: `function [object]`."""
    found: Counter[str] = Counter()
    functions: dict[str, str] = {}
    objects: dict[str, str] = {}
    function = object_name = ""
    of_a_call = False
    with file.open() as lines:
        for line in lines:
            if line[0] in "0123456789+-*":
                parts = line.split()
                if not of_a_call and len(parts) > 1:
                    found[f"{function} [{object_name}]"] += int(parts[1])
                of_a_call = False
                continue
            key, is_there, name = line.rstrip("\n").partition("=")
            if not is_there:
                continue
            if key == "fn":
                function = _RECURSION.sub("", _named(name, functions))
            elif key == "cfn":
                _named(name, functions)
            elif key == "ob":
                object_name = _named(name, objects).rpartition("/")[2]
            elif key == "cob":
                _named(name, objects)
            of_a_call = key == "calls"  # the next line is the cost of what was called
    return found


def calls(file: Path) -> Counter[str]:
    """How often each function was called: `function [object]`. Inlined calls do not exist."""
    found: Counter[str] = Counter()
    functions: dict[str, str] = {}
    objects: dict[str, str] = {}
    called = object_name = called_object = ""
    with file.open() as lines:
        for line in lines:
            key, is_there, name = line.rstrip("\n").partition("=")
            if not is_there:
                continue
            if key == "fn":
                _named(name, functions)
            elif key == "cfn":
                called = _RECURSION.sub("", _named(name, functions))
            elif key == "ob":
                object_name = _named(name, objects).rpartition("/")[2]
            elif key == "cob":
                called_object = _named(name, objects).rpartition("/")[2]
            elif key == "calls":
                found[f"{called} [{called_object or object_name}]"] += int(name.split()[0])
                called_object = ""  # named again where the next callee is elsewhere
    return found


def _named(text: str, names: dict[str, str]) -> str:
    """A name, which is written once, as `(number) name`, and later as `(number)`."""
    number, _, name = text.partition(" ")
    return names.setdefault(number, name) if name else names.get(number, number)
