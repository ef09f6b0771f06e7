"""Publication figures: a recipe in, a matplotlib figure out."""
