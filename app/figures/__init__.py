"""Sections of the Figures page, used in `app/pages/figures.py`."""
