"""The paper's tables: published numbers, the rows to compute, and their export."""
