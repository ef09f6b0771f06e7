"""Sections of the Evaluate page, used in `app/pages/evaluate.py`."""
