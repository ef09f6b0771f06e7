"""Matching (Sec. 3.2): shortlist, ground cost, marginals, transport, and the ranking of the shortlist by D."""
