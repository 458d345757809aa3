"""Costs of exchanges: the price table and its arithmetic."""
