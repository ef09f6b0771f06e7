"""Classify every query by the stage that found or lost the right person."""
