"""The manager process: state, ledger and the services of the management plane."""
