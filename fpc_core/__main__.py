"""Run the command line, as `python -m fpc_core` or, if installed, as `fpc`."""

import sys


def run() -> int:
    """Run one command and return its exit status."""
    try:
        from fpc_core.cli import main
    except KeyboardInterrupt:  # Importing torch takes seconds, in which the user may press Ctrl-C.
        print("interrupted: nothing was started; run the command again", file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(run())
