"""Run the command line as `python -m fpc_core`."""

import sys

from fpc_core.cli import main

sys.exit(main())
