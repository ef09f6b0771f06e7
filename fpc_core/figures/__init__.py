"""Draw publication figures from recipes with matplotlib."""
