"""CMC, mAP, bootstrap intervals, verification error rates and FLOPs."""
