"""Sections of the Learn page, used in `app/pages/learn.py`."""
