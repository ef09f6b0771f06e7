"""Sections of the Atlas page."""
