"""Search one query under many occluders."""
