"""Groups of models that a provider may limit each for itself.

Anthropic's limits and windows hold per family (Opus, Sonnet, Haiku), those of others per model.
"""

from ccrelay._fast.affinity_table import hash64
from ccrelay._fast.rate_limits import GROUPS

# As they stand in names of models, and of windows (`seven_day_sonnet`, `7d_sonnet`).
FAMILIES = ("opus", "sonnet", "haiku", "fable", "mythos")


def group_of(model: str) -> int:
    """The group of a model, by the name that is sent, or of a family: 1 to `GROUPS`."""
    name = model.lower()
    if "claude" in name or name in FAMILIES:
        for number, family in enumerate(FAMILIES, 1):
            if family in name:
                return number
    # Two models that share a number share cooldowns, at worst.
    return len(FAMILIES) + 1 + hash64(name.encode()) % (GROUPS - len(FAMILIES))
