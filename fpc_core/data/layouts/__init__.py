"""Dataset layouts: one `LayoutSpec` per layout, in one file per family; `registry` lists them.

To add a layout, add it to the tuple `LAYOUTS` of a file in this folder (list a new file in `registry`), add a test, and
run `python -m docs.make_layouts`. No other code has to change.
"""
