"""Public mode, for an app that anyone on the internet can open. The environment variable FPC_PUBLIC turns it on.

A public app shows only its startup data and ignores links that request other data. It starts no builds or checks,
writes no files and shows no paths of the machine. Errors that it hides from visitors go to the server log.
"""

from __future__ import annotations

import logging
import os
import re
from functools import cache

_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
_LOG = logging.getLogger("fpc.public")
# Matches an absolute path: from a slash, drive or file:// at the start of a word to the next blank, quote or bracket.
_PATH = re.compile(r"(?<![\w.…/\\])(?:file:/*|[A-Za-z]:(?=[\\/])|~(?=[\\/]))?[\\/][^\s'\"`<>()\[\]{}|,;]+")


@cache
def is_public() -> bool:
    """Return whether FPC_PUBLIC makes this app public.

    The variable is read once.

    Raises:
        ValueError: The value of FPC_PUBLIC means neither yes nor no.
    """
    text = os.environ.get("FPC_PUBLIC", "")
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError(
            f"FPC_PUBLIC must be 1, true or yes for a public app, or 0, false or no, got {text!r}"
        ) from None


def config_error() -> str:
    """Return why the value of FPC_PUBLIC is invalid, or an empty string. If it is invalid, no page may be shown."""
    try:
        is_public()
    except ValueError as error:
        return str(error)
    return ""


def redact(text: str, folders: tuple[str, ...] = ()) -> str:
    """Return a message that visitors may read: in public mode, absolute paths are shortened to their last part.

    If a path is shortened, the original message is written to the server log.

    Args:
        text: Message to redact.
        folders: Folders to remove first. Unlike other paths, these may contain blanks.
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
    """Write a message for the administrator to the server log, on one line."""
    _LOG.warning("%s", " ".join(text.split()))


def _last_part(match: re.Match[str]) -> str:
    """Return the last part of a matched path, followed by the punctuation at the end of the match."""
    path = match.group()
    name = path.rstrip(".:!?\\/")
    last = re.split(r"[\\/]", name)[-1]
    return (last or "…") + path[len(name) :].replace("/", "").replace("\\", "")
