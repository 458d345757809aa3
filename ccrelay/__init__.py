"""ccrelay: a relay between Claude Code and the LLM providers behind it."""

__version__ = "0.2.0"
