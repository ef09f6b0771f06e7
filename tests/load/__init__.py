"""Many visitors at once, and builds that are killed: `python -m tests.load.load`, `python -m tests.load.killing`."""
