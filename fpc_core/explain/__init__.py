"""Data for the views: which patches survive, and what the decoder attends to. Nothing here draws."""
