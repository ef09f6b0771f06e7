"""Sections of the Lab page, used in `app/pages/lab.py`."""
