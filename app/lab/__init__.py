"""Sections of the Lab page."""
