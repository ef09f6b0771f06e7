"""The FPC network: sparse encoder (Sec. 3.1), consolidation decoder (Sec. 3.3), checkpoints of every format."""
