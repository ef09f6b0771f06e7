"""Self-contained HTML files: a report on many queries, and the lesson."""
