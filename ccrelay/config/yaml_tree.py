"""The nodes of a YAML text with the offsets of what is written, for edits of the text.

`ccrelay.config.yaml_marks` reads the data; here aliases, styles and ends matter.
"""

from collections.abc import Iterator
from typing import Any

from ccrelay.config.yaml_marks import DEPTH_MAX


def index_of(mark: Any) -> int:
    """Return the offset of a mark, in characters."""
    return int(mark.index)


class Node:
    """A node of the YAML text; `start` and `end` are offsets of what is written."""

    def __init__(self, kind: str, start: int, end: int = 0) -> None:
        self.kind = kind  # scalar, alias, sequence, mapping
        self.start = start
        self.end = end
        self.is_flow = False
        self.is_block_text = False
        self.is_quoted = False
        self.has_properties = False  # an anchor or a tag before the value
        self.text = ""
        self.column = 0
        self.items: list[Node] = []  # of a mapping: keys and values in turn
        self.target: Node | None = None  # of an alias

    def resolved(self) -> "Node":
        """What an alias stands for."""
        node = self
        while node.target is not None:
            node = node.target
        return node

    def members(self) -> list[tuple["Node", "Node"]]:
        """Keys and values of a mapping."""
        return list(zip(self.items[::2], self.items[1::2], strict=True))


def yaml_tree(text: str) -> Node:
    """Return the root node of a valid text without a byte order mark. Raises ValueError."""
    import yaml

    # Both loaders count characters; libyaml's takes a twentieth of the time.
    events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                return _Tree(text, events).node(event)
    except yaml.YAMLError:
        raise ValueError("not understood") from None
    raise ValueError("empty")


class _Tree:
    """Makes nodes of events, which it takes as it needs them."""

    def __init__(self, text: str, events: Iterator[Any]) -> None:
        self._text = text
        self._events = events
        self._anchors: dict[str, Node] = {}

    def node(self, event: Any, depth: int = 0) -> Node:
        import yaml

        if depth > DEPTH_MAX:
            raise ValueError("nested too deeply")
        made = Node("scalar", event.start_mark.index, event.end_mark.index)
        made.column = event.start_mark.column
        if isinstance(event, yaml.AliasEvent):
            made.kind, made.target = "alias", self._anchors[str(event.anchor)]
            return made
        made.has_properties = self._text[made.start : made.start + 1] in ("&", "!")
        if event.anchor is not None:
            self._anchors[event.anchor] = made
        if isinstance(event, yaml.ScalarEvent):
            made.text = event.value
            made.is_block_text = event.style in ("|", ">")
            made.is_quoted = event.style == '"'
            return made
        made.kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
        made.is_flow = bool(event.flow_style)
        for inner in self._events:
            if isinstance(inner, yaml.CollectionEndEvent):
                made.end = index_of(inner.end_mark)
                break
            made.items.append(self.node(inner, depth + 1))
        return made
