"""Run a command of the command line, and turn errors that users can fix into one line and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fpc_core.cli.arguments import build_parser
from fpc_core.cli.commands import COMMANDS
from fpc_core.runtime.out_of_memory import OutOfMemoryError

INTERRUPTED = 130  # Exit status after Ctrl-C, as shells report it.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit status.

    Errors that users can fix are printed as one line on stderr; the status is then 2. After Ctrl-C, one line says
    how to resume; the status is then 130.

    Args:
        arguments: Arguments of the command line; by default those of the process.
    """
    args = build_parser(COMMANDS).parse_args(arguments)
    try:
        return args.run(args) or 0
    except PermissionError as error:
        print(f"error: no permission to use {error.filename or 'a file'}; change its permissions", file=sys.stderr)
        return 2
    except (ValueError, OSError, OutOfMemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\ninterrupted: {str(stop) or 'run the same command again; stored results are reused'}", file=sys.stderr)
        return INTERRUPTED
