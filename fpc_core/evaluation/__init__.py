"""Evaluation: CMC and mAP, re-ranking, FLOPs, sweeps, failure analysis, occlusion studies and the paper's tables."""
