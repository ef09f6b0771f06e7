"""Files that are written atomically, and settings as JSON."""
