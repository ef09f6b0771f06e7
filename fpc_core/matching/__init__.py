"""Matching (Sec. 3.2): ground cost, marginals and transport; the shortlist and its ranking by D."""
