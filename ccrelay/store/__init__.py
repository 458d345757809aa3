"""The ledger on disk: SQLite, one writer thread, readers of their own."""
