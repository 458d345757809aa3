"""The demo provider: answers like Anthropic without a model, and misbehaves when asked to."""
