"""What the dashboard draws with, in Unicode and in ASCII."""

from typing import NamedTuple


class Glyphs(NamedTuple):
    """One character each."""

    opus: str = "█"
    sonnet: str = "▓"
    haiku: str = "▒"
    other: str = "░"
    track: str = "─"
    failed: str = "✕"
    cooldown: str = "╱"
    handed_over: str = "┆"
    streaming: str = "▶"
    now: str = "│"
    future: str = "·"
    used: str = "█"
    forecast: str = "╱"
    unused: str = "░"
    even: str = "┃"
    picked: str = "▌"
    live: str = "●"
    dead: str = "○"
    branch: str = "├"
    last_branch: str = "└"
    side: str = "│"
    line: str = "─"
    corners: str = "┌┐└┘"

    def of_model(self, model: str) -> str:
        """Return the glyph of a model's family."""
        for family in ("opus", "sonnet", "haiku"):
            if family in model:
                return str(getattr(self, family))
        return self.other


UNICODE = Glyphs()
# As the design has it: `█▓▒░ ✕ ╱ ┆` become `# = - . x / :`.
ASCII = Glyphs(
    opus="#", sonnet="=", haiku="-", other=".", track="_", failed="x", cooldown="/",
    handed_over=":", streaming=">", now="|", future=" ", used="#", forecast="/", unused=".",
    even="|", picked=">", live="*", dead="o", branch="|", last_branch="`", side="|", line="-",
    corners="++++",
)  # fmt: skip


def glyphs(*, unicode: bool) -> Glyphs:
    """Return those that a terminal can show."""
    return UNICODE if unicode else ASCII
