"""Sections of the Data page, used in `app/pages/data.py`."""
