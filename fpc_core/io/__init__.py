"""Read and write files: atomic writes, bounded reads, and frozen dataclasses as JSON."""
