"""Anthropic's own API: nothing is changed beyond the model's name.

Everything the client sends belongs here, betas and login included (gateway contract, section 3);
bodies are decoded only when the configuration asks for folded system turns.
"""

from ccrelay.providers.base import Dialect


class AnthropicDialect(Dialect):
    """Type `anthropic`."""
