"""Anthropic's own API: only the model name is replaced.

Everything the client sends is valid here, including betas and its login (gateway contract, section
3); bodies are decoded only when the configuration folds system turns.
"""

from ccrelay.providers.base import Dialect


class AnthropicDialect(Dialect):
    """Type `anthropic`."""
