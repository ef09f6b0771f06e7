"""Sections of the Explore page, used in `app/pages/explore.py`."""
