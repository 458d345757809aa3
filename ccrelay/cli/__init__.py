"""The command line interface. Entry point: `ccrelay.cli.main`."""
