"""Sections of the Compare page, used in `app/pages/compare.py`."""
