"""The command line face. `ccrelay.cli.main` is the entrance."""
