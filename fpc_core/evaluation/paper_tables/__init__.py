"""The paper's tables: published numbers, rows to compute, and export."""
