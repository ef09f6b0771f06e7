"""Runtime support: threads, processes, interruption, out-of-memory fallbacks and torchvision's operators."""
