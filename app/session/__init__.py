"""The state of one visitor: URL, selection, uploads, figure basket and Lab scene."""
