"""The mock provider: the Anthropic API without a model, with fault injection."""
