"""Scores of a ranking: CMC and mAP with the junk rule, k-reciprocal re-ranking, FLOPs, the paper's own tables."""
