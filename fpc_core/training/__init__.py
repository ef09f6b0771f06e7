"""Training (Sec. 3.4): batches, losses and the loop over both stages."""
