"""Groups of models that a provider may limit each for itself.

Anthropic's limits and windows hold per family (Opus, Sonnet, Haiku), those of others per model;
Bedrock's and Vertex AI's, too, and Foundry's per deployment.
"""

from ccrelay._fast.affinity_table import hash64
from ccrelay._fast.rate_limits import GROUPS
from ccrelay.config.model import ProviderType
from ccrelay.providers.cloud_models import first_party

# As they stand in names of models, and of windows (`seven_day_sonnet`, `7d_sonnet`).
FAMILIES = ("opus", "sonnet", "haiku", "fable", "mythos")

_PER_MODEL: frozenset[ProviderType] = frozenset({"bedrock", "vertex", "azure"})


def is_per_model(kind: ProviderType) -> bool:
    """Whether a type of provider limits each model of Claude for itself."""
    return kind in _PER_MODEL


def group_at(kind: ProviderType, sent: str) -> int:
    """The group of a model at a type of provider, by the name that is sent: 1 to `GROUPS`."""
    return _own_group(first_party(sent).lower()) if kind in _PER_MODEL else group_of(sent)


def group_of(model: str) -> int:
    """The group of a model, by the name that is sent, or of a family: 1 to `GROUPS`."""
    name = model.lower()
    if "claude" in name or name in FAMILIES:
        for number, family in enumerate(FAMILIES, 1):
            if family in name:
                return number
    return _own_group(name)


def _own_group(name: str) -> int:
    # Two models that share a number share cooldowns, at worst.
    return len(FAMILIES) + 1 + hash64(name.encode()) % (GROUPS - len(FAMILIES))
