"""Estimates of a request's tokens, from its size, before it is sent.

Limits use these estimates until the provider reports usage; each report corrects later estimates.
Kept per model: tokenizers differ by half, outputs by far more.

Estimates are biased upwards: surplus reserved tokens are returned shortly after, too few exceed a
limit. So bytes per token fall fast and rise slowly. Images and PDFs in base64 have hundreds of
bytes per token: callers exclude them from the size (`wire.media`), and the input of a report with
more than `BYTES_PER_TOKEN_MAX` is ignored.
"""

from math import ceil

from ccrelay._fast.usage import Usage
from ccrelay.types import OutputClass

BYTES_PER_TOKEN = 3.2  # JSON and code of a request; at the low end of measured values
BYTES_PER_TOKEN_MIN = 1.0
BYTES_PER_TOKEN_MAX = 8.0
OUTPUT_TOKENS = 700  # a turn with a tool call
OUTPUT_TOKENS_MAX = 128_000  # the maximum of all models (providers reference, section 4)
MODELS_MAX = 256

# Weight of the latest report.
_FALL = 0.5
_RISE = 0.1
_OUTPUT = 0.1
# Shorter bodies are mostly JSON syntax.
_BODY_BYTES_MIN = 512


class ModelEstimate:
    """Estimates for one model, learned or default."""

    __slots__ = ("bytes_per_token", "outputs", "tokens_out")

    def __init__(self) -> None:
        self.bytes_per_token = BYTES_PER_TOKEN
        self.outputs = [float(OUTPUT_TOKENS)] * len(OutputClass)
        # Output tokens by output class: a running average, whatever `max_tokens` says.
        self.tokens_out = [OUTPUT_TOKENS] * len(OutputClass)

    def tokens_in(self, body_bytes: int) -> int:
        """Estimated input tokens of a body, at least 1."""
        return ceil(body_bytes / self.bytes_per_token) or 1


_ASSUMED = ModelEstimate()


class Estimator:
    """Estimates by model, for one worker; at most `MODELS_MAX` models."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, ModelEstimate] = {}

    def of(self, model: str) -> ModelEstimate:
        """Estimates for a model; the defaults until `learn` was called for it."""
        return self._known.get(model) or _ASSUMED

    def learn(self, model: str, body_bytes: int, usage: Usage, output_class: int) -> None:
        """Correct the estimates by reported usage. Reports without tokens are ignored."""
        total = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
        output = usage.output
        if total <= 0 and output <= 0:
            return
        known = self._known.get(model) or self._begin(model)
        if total > 0 and body_bytes >= _BODY_BYTES_MIN:
            seen = body_bytes / total
            if seen <= BYTES_PER_TOKEN_MAX:
                if seen < BYTES_PER_TOKEN_MIN:
                    seen = BYTES_PER_TOKEN_MIN
                guessed = known.bytes_per_token
                weight = _FALL if seen < guessed else _RISE
                known.bytes_per_token = guessed + weight * (seen - guessed)
        if output > 0:
            if output > OUTPUT_TOKENS_MAX:
                output = OUTPUT_TOKENS_MAX
            average = known.outputs[output_class]
            known.outputs[output_class] = average = average + _OUTPUT * (output - average)
            known.tokens_out[output_class] = ceil(average) or 1

    def _begin(self, model: str) -> ModelEstimate:
        if len(self._known) >= MODELS_MAX:
            del self._known[next(iter(self._known))]
        known = self._known[model] = ModelEstimate()
        return known

    def __repr__(self) -> str:
        return f"<Estimator {len(self._known)} models>"
