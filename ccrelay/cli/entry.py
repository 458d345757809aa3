"""Where `ccrelay` begins: the status line goes its own way, before anything slow is imported.

Claude Code runs `ccrelay statusline` again and again; the command line needs click, which alone
costs as much as the whole of it.
"""

import sys


def main() -> None:
    """Run the command line; exits the process."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["statusline"] and not {"--help", "-h"}.intersection(arguments):
        from ccrelay.cli.statusline import main as statusline

        statusline(arguments[1:])
        return
    from ccrelay.cli.main import main as command_line

    command_line()
