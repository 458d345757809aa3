"""What a row of the bridge's table is made of: surfaces, actions, `Row`."""

from typing import Literal

import msgspec

Surface = Literal[
    "azure", "claude-aws", "claude-google", "mantle", "bedrock-messages", "bedrock-invoke", "vertex"
]
# keep: as it came; of bedrock-invoke's betas: in the header
# drop: leave it out
# refuse: the request cannot be served there
# move: bedrock-invoke's betas: into the body's list; a member: to `to`
# copy: bedrock-invoke's betas: in both
# rewrite: a beta: becomes `to`; a system turn: becomes part of a user turn
# add: the beta `to` is sent, although the client has not sent it
Action = Literal["keep", "drop", "refuse", "move", "copy", "rewrite", "add"]


class Row(msgspec.Struct, frozen=True):
    """What happens to a feature on some surfaces.

    Args:
        feature: its name in `bridge_features`.
        action: what.
        surfaces: where.
        reason: why.
        source: where that is known from.
        part: one half only: `beta`, `body`, or a beta or part by name; empty: both.
        models: for these only, as `Generation.matches` reads it; empty: all.
        to: the new name, of `move`, `rewrite` and `add`.
        when: of a beta that is kept, moved or added: only with one of these, a beta that the client
            sent or a feature whose part in the body is kept. Of a part of the body that is dropped:
            only with one of these betas.
        kind: in requests of that kind only.
    """

    feature: str
    action: Action
    surfaces: tuple[Surface, ...]
    reason: str
    source: str
    part: str = ""
    models: str = ""
    to: str = ""
    when: tuple[str, ...] = ()
    kind: Literal["", "messages", "count"] = ""


INVOKE: tuple[Surface, ...] = ("bedrock-invoke",)
RUNTIME: tuple[Surface, ...] = ("bedrock-messages", "bedrock-invoke")
MANTLE: tuple[Surface, ...] = ("mantle",)
VERTEX: tuple[Surface, ...] = ("vertex",)
AZURE: tuple[Surface, ...] = ("azure",)
BEDROCK: tuple[Surface, ...] = (*MANTLE, *RUNTIME)
# An unknown beta makes the whole request fail there: what has no row is left out.
STRICT: tuple[Surface, ...] = (*BEDROCK, *VERTEX)
ANTHROPICS: tuple[Surface, ...] = ("claude-aws", "claude-google")  # Anthropic operates them
ALL: tuple[Surface, ...] = (*AZURE, *ANTHROPICS, *STRICT)
