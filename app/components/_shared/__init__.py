"""Scripts, styles and Python code that several components use."""
