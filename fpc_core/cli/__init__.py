"""Command line, called as `python -m fpc_core COMMAND`."""

from fpc_core.cli.commands import COMMANDS
from fpc_core.cli.main import main

__all__ = ["COMMANDS", "main"]
