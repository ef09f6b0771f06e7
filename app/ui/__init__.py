"""Widgets, charts, progress and the frame of a page."""
