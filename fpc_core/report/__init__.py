"""HTML files that need no server: a report on many queries, and the lesson."""
