"""Dataset layouts: one `LayoutSpec` per layout, in one file per family; `registry` collects them.

To add a layout, add a file with a tuple `LAYOUTS` to this folder and a test, and run `python -m docs.make_layouts`. No
other code has to change.
"""
