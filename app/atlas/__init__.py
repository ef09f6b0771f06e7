"""Sections of the Atlas page, used in `app/pages/atlas.py`."""
