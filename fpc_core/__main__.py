"""Run the command line as `python -m fpc_core`."""

import sys

try:
    from fpc_core.cli import main
except KeyboardInterrupt:  # Importing torch takes seconds, in which the user may press Ctrl-C.
    print("interrupted: nothing was started; run the command again", file=sys.stderr)
    sys.exit(130)

sys.exit(main())
