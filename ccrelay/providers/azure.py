"""Azure AI Foundry: Anthropic's API behind an Azure resource, models by deployment name.

Source: providers reference, section 7; clouds reference, section 1.
"""

from typing import ClassVar

from ccrelay.providers.bridge import Surface
from ccrelay.providers.cloud import CloudDialect, Lines


class AzureDialect(CloudDialect):
    """Type `azure`."""

    limits_per_model: ClassVar[bool] = True
    surface: Surface = "azure"

    def key_lines(self, key: bytes) -> Lines:
        """Both names of the key: Anthropic's, and that of Azure's gateway."""
        return [(b"x-api-key", key), (b"api-key", key)]
