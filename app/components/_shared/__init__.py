"""Scripts, styles and Python code shared by several components."""
