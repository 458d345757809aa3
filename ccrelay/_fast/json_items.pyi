from typing import Any

def end_of_items(data: Any, at: int, bytes_max: int, items_max: int) -> int:
    """Offset behind the next items of an array: of a comma, or of the closing bracket.

    Takes items until there are `items_max` of them or they have `bytes_max` bytes. `at` is behind
    the opening bracket or a comma. IndexError: outside of the data.
    """

def join(pieces: list[Any]) -> bytes:
    """The bytes of all pieces (anything with a buffer), one behind the other."""
