"""Sections of the Figures page."""
