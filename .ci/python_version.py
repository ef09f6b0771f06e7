"""Exit with a message if this Python is too old for the app."""

import sys

NEEDED = (3, 11)

if sys.version_info < NEEDED:
    found, needed = (".".join(map(str, version)) for version in (sys.version_info[:3], NEEDED))
    sys.exit(
        f"FPC Explorer needs Python {needed} or newer, and {sys.executable} is Python {found}. "
        "Install a newer version, and pass its name: make PYTHON=python3.13 app"
    )
