"""Classify every query by the stage of its search that found or lost the right person."""
