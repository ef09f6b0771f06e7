"""Read and write files: atomic writes, reads with size limits, and frozen dataclasses as JSON."""
