"""State of a single visitor: URL, data selection, uploads, figure basket and Lab scene."""
