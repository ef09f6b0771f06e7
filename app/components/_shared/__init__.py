"""Scripts and styles that several components use."""
