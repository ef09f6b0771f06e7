"""Search for one query under many occluders."""
