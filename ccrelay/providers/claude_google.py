"""Claude on Google Cloud, operated by Anthropic: its own API behind Google's credentials.

Source: providers reference, section 6.3; clouds reference, section 1.
"""

from ccrelay.providers.bridge import Surface
from ccrelay.providers.cloud import CloudDialect


class ClaudeGoogleDialect(CloudDialect):
    """Type `claude-google`. Project, location and workspace are in the base URL."""

    surface: Surface = "claude-google"
