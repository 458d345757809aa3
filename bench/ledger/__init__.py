"""How large the ledger gets, how fast it is written, and how fast it answers."""
