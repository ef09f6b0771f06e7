"""The machine underneath: threads, processes, out-of-memory fallbacks and torchvision's operators."""
