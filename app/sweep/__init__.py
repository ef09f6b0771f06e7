"""Sections of the Sweep page."""
