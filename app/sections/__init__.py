"""Page sections about a query's results, shared by several pages."""
