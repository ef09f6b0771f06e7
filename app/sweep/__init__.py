"""Sections of the Sweep page, used in `app/pages/sweep.py`."""
