"""A report on many queries: what was found, gathered and laid out on one page that needs nothing else."""
