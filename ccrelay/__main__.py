"""`python -m ccrelay` is `ccrelay`."""

from ccrelay.cli.main import main

if __name__ == "__main__":
    main()
