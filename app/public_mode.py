"""Public mode: the app for anyone on the internet. The administrator sets FPC_PUBLIC; no visitor can.

A public app shows its startup data. It loads nothing else, whatever a link requests, starts no builds or checks, writes
no files and shows no paths of the machine. Hidden reasons go to the server log.
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
    """Return whether this app is public; read once. Raises ValueError if FPC_PUBLIC is neither yes nor no."""
    text = os.environ.get("FPC_PUBLIC", "")
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError(
            "FPC_PUBLIC is neither yes nor no; set it to 1, true or yes for a public app, else to 0, false or no"
        ) from None


def config_error() -> str:
    """Return why FPC_PUBLIC cannot be read, or an empty text. With an error no page is shown, to be safe."""
    try:
        is_public()
    except ValueError as error:
        return str(error)
    return ""


def redact(text: str, folders: tuple[str, ...] = ()) -> str:
    """Return a message as visitors may read it: in public mode absolute paths are cut to their last part.

    Args:
        text: The message.
        folders: Removed first, also if they contain blanks, which end a path elsewhere.
    """
    if not is_public():
        return text
    redacted = text
    for folder in sorted(filter(None, folders), key=len, reverse=True):
        redacted = redacted.replace(f"{folder.rstrip(os.sep)}{os.sep}", "").replace(folder, "…")
    redacted = _PATH.sub(_last_part, redacted)
    if redacted != text:
        log(text)
    return redacted


def log(text: str) -> None:
    """Write a message for the administrator to the log, on one line."""
    _LOG.warning("%s", " ".join(text.split()))


def _last_part(match: re.Match[str]) -> str:
    """Return the name at the end of a path, with the punctuation that follows it."""
    path = match.group()
    name = path.rstrip(".:!?\\/")
    last = re.split(r"[\\/]", name)[-1]
    return (last or "…") + path[len(name) :].replace("/", "").replace("\\", "")
