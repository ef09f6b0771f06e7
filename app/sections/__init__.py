"""Sections of a query's view that several pages show."""
