"""Explanations of a search: surviving patches, heat maps, image cards and sentences."""
