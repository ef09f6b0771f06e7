"""Command `app`: start the Streamlit app in a process of its own, because the core does not import Streamlit."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from fpc_core.workspace import APP_ROOT


def run_app(args: argparse.Namespace) -> int:
    """Start the app, and return its exit status when it ends.

    Raises:
        OSError: The app is not installed.
    """
    script = APP_ROOT / "streamlit_app.py"
    if not script.is_file():
        raise FileNotFoundError(f"{script} is missing; install the app again: pip install --force-reinstall .")
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(args.port)]
    if args.address:
        command += ["--server.address", args.address]
    process = subprocess.Popen(command, env={"MALLOC_ARENA_MAX": "2", **os.environ})
    try:
        return process.wait()
    except KeyboardInterrupt:  # The terminal has sent Ctrl-C to the app as well, which then ends by itself.
        return process.wait()
