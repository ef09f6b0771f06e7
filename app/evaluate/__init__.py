"""Sections of the Evaluate page."""
