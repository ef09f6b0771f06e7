"""Images and datasets: the only rooms that read a user's files."""
