"""`python -m ccrelay` is `ccrelay`."""

from ccrelay.cli.entry import main

if __name__ == "__main__":
    main()
