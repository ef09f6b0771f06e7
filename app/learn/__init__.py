"""Sections of the Learn page."""
