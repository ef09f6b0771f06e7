"""Training (Sec. 3.4): losses, identity sampling, and the loop over both stages."""
