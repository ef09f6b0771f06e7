"""Hostile input for every reader: `python -m tests.fuzz.fuzzing`."""
