"""Dataset layouts: one `LayoutSpec` per layout, in one file per family, found by `registry`.

To add a layout, add a file with a tuple `LAYOUTS` to this folder, and a test; nothing else refers to it.
"""
