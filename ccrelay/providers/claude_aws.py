"""Claude Platform on AWS: Anthropic's own API behind AWS credentials.

Source: providers reference, section 5, surface D; clouds reference, section 1.
"""

from ccrelay.config.model import Provider
from ccrelay.providers.base import Outgoing
from ccrelay.providers.bridge import Surface
from ccrelay.providers.cloud import CloudDialect, Lines


class ClaudeAwsDialect(CloudDialect):
    """Type `claude-aws`."""

    surface: Surface = "claude-aws"
    sigv4_service = "aws-external-anthropic"

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self.sigv4_region = provider.region or ""
        self._workspace = self._checked(provider.workspace or "")

    def key_lines(self, key: bytes) -> Lines:
        """`x-api-key`, as Claude Code sends it; the SDK sends Bearer."""
        return [(b"x-api-key", key)]

    def more_lines(self, request: Outgoing) -> Lines:
        """The workspace, which this platform asks for."""
        return [(b"anthropic-workspace-id", self._workspace)] if self._workspace else []
