"""Google Vertex AI: Claude as a partner model, model and verb in the path.

Source: providers reference, section 6.1; clouds reference, sections 1 and 2.
"""

from typing import ClassVar

from ccrelay.config.model import Provider
from ccrelay.providers.base import Outgoing
from ccrelay.providers.bridge import Surface, plain_model
from ccrelay.providers.cloud import CloudDialect
from ccrelay.providers.cloud_paths import quoted_model, quoted_name
from ccrelay.types import RequestClass

_BYTES_MAX = 30_000_000  # "30 MB"


class VertexDialect(CloudDialect):
    """Type `vertex`."""

    sends_query = False
    limits_per_model: ClassVar[bool] = True
    surface: Surface = "vertex"
    payload_bytes_max = _BYTES_MAX

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        project = quoted_name(provider.project or "")
        location = quoted_name(provider.location or "global")
        models = f"/projects/{project}/locations/{location}/publishers/anthropic/models/"
        # The SDK's base URL ends in the version, ours need not.
        self._models = models if self.prefix().endswith(b"/v1") else "/v1" + models

    def path_of(self, request: Outgoing) -> str:
        """The model and its verb; counting is a model of its own, and the model is in the body."""
        if request.kind == RequestClass.COUNT_TOKENS:
            return self._models + "count-tokens:rawPredict"
        verb = "streamRawPredict" if request.stream else "rawPredict"
        return f"{self._models}{quoted_model(plain_model(request.model), ':@')}:{verb}"
