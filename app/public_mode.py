"""Public mode: the app as strangers may see it. Whoever runs it decides, with FPC_PUBLIC; no visitor can.

A public app shows what it was started with. It loads nothing else, whatever a link asks; builds and checks nothing;
writes no file; and says no path of the machine. The reasons that it keeps from visitors go to the server's log.
"""

from __future__ import annotations

import logging
import os
import re
from functools import cache

_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
_LOG = logging.getLogger("fpc.public")
# An absolute path: from a slash, a drive or file:// that begins a word, to the next blank, quote or bracket.
_PATH = re.compile(r"(?<![\w.…/\\])(?:file:/*|[A-Za-z]:(?=[\\/])|~(?=[\\/]))?[\\/][^\s'\"`<>()\[\]{}|,;]+")


@cache
def is_public() -> bool:
    """Whether this app is public: read once, when first asked. Raises ValueError for a setting that is neither."""
    text = os.environ.get("FPC_PUBLIC", "")
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError(
            "FPC_PUBLIC is neither yes nor no; set it to 1, true or yes for a public app, else to 0, false or no"
        ) from None


def config_error() -> str:
    """What to say instead of any page where the setting cannot be read, else empty: when in doubt nothing is shown."""
    try:
        is_public()
    except ValueError as error:
        return str(error)
    return ""


def redact(text: str, secret: tuple[str, ...] = ()) -> str:
    """A message as visitors may read it: in a public app with the last part of every absolute path in it alone.

    secret: folders that are cut off before, in whichever way they are written (a blank ends a path elsewhere).
    """
    if not is_public():
        return text
    cut = text
    for folder in sorted(filter(None, secret), key=len, reverse=True):
        cut = cut.replace(f"{folder.rstrip(os.sep)}{os.sep}", "").replace(folder, "…")
    cut = _PATH.sub(_last_part, cut)
    if cut != text:
        log(text)
    return cut


def log(text: str) -> None:
    """For whoever runs the app, on one line."""
    _LOG.warning("%s", " ".join(text.split()))


def _last_part(found: re.Match[str]) -> str:
    """The name at the end of a path, with the full stop or colon that ends its clause."""
    path = found.group()
    name = path.rstrip(".:!?\\/")
    last = re.split(r"[\\/]", name)[-1]
    return (last or "…") + path[len(name) :].replace("/", "").replace("\\", "")
