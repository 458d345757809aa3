"""Exit codes of all commands: the one table.

docs/cli.md shows `MEANINGS`; a test compares them.
"""

OK = 0
FAILED = 1
USAGE = 2
NO_RELAY = 3
INTERRUPTED = 130  # 128 + SIGINT
PIPE_CLOSED = 141  # 128 + SIGPIPE

MEANINGS = {
    OK: "fine; of `status`: for every model a target can be used",
    FAILED: "something failed; of `status`: for some model no target can be used",
    USAGE: "wrong usage: an unknown option, an invalid value, filter or configuration",
    NO_RELAY: "no relay is running, or its management is off",
    INTERRUPTED: "ended by Ctrl-C",
    PIPE_CLOSED: "the reader of the output went away, such as `head`",
}
