"""What commands say after they have changed something at run time."""

from typing import Any

from ccrelay.cli.json_output import print_json
from ccrelay.cli.screen import find_screen, write_lines

HINT = (
    "It holds until the relay ends. Keep it: ccrelay overrides write. "
    "Drop it: ccrelay overrides drop"
)


def report(answer: Any, sentence: str, as_json: bool, *, hint: str = HINT) -> None:
    """Print what was done, and what follows from it; or the answer as JSON."""
    if as_json:
        print_json(answer)
        return
    screen = find_screen()
    lines = screen.wrap(screen.text(sentence))
    if hint:
        lines += [screen.paint(line, "dim") for line in screen.wrap(hint)]
    write_lines(lines)
