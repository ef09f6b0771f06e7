"""The gallery memory (Sec. 3.2): build it, store it on disk and read it."""
