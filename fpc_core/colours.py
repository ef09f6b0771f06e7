"""Colours of charts and figures. The stylesheets of the app's components repeat those in `MATCH_COLOURS`."""

from fpc_core.data.match_label import MatchLabel

GREY, BLUE, ORANGE, GREEN, RED = "#8a8f98", "#2f6fde", "#d9822b", "#1a8f4c", "#d03b3b"

# No hit is marked by colour alone: the same labels also have a border style and a symbol.
MATCH_COLOURS = {MatchLabel.MATCH: GREEN, MatchLabel.OTHER: RED, MatchLabel.JUNK: GREY, MatchLabel.NEUTRAL: "#5b6472"}

SIGNED_COLOURS = ("#5e3c99", "#e66101")
"""Colours of negative and positive values in signed maps; colours.js of the app uses the same two."""

# The palette of Okabe and Ito, whose colours people with colour blindness can tell apart.
LINE_COLOURS = ("#2f8fd0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
