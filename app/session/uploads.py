"""A visitor's own images: how many are taken, how they are decoded, and which are still held."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from fpc_core.data.images import ImageError, content_hash
from fpc_core.data.sandboxed_decode import decode_in_subprocess

MAX_PER_MINUTE = 10  # new images that one visitor may have decoded
MAX_PER_VISIT = 200
MAX_STORED = 4  # the latest ones that a visitor goes back to without another decoding
_HELD, _TIMES, _LAST = "own-images", "own-image-times", "own-image"


@dataclass(frozen=True, eq=False)
class OwnImage:
    """name: of the visitor's file.  digest: of its bytes.  image: uint8 (height, width, 3)."""

    name: str
    digest: str
    image: np.ndarray


def own_image(name: str, data: bytes, size: tuple[int, int]) -> OwnImage:
    """An upload at the model's input size. Decoded once, however often a page runs; `last_image` from now on.

    Raises ImageError for what cannot be used, and where the visitor has had too many decoded.
    """
    held = _stored_images()
    key = (content_hash(data), name, size)
    found = held.pop(key, None)
    if found is None:
        st.session_state[_TIMES] = count_upload(st.session_state.get(_TIMES, ()), time.time(), name)
        try:
            found = decode_in_subprocess(data, name, size)
        except ImageError as error:
            found = str(error)
    held[key] = found  # now the latest
    for stale in list(held)[:-MAX_STORED]:
        del held[stale]
    if isinstance(found, str):
        raise ImageError(found)
    st.session_state[_LAST] = key
    return OwnImage(name, key[0], found)


def last_image(size: tuple[int, int]) -> OwnImage | None:
    """The one taken last, on whichever page, for every page's uploader begins empty; None where it is not held."""
    key: tuple[str, str, tuple[int, int]] | None = st.session_state.get(_LAST)
    if key is None or key[2] != size:
        return None
    found = _stored_images().get(key)
    return OwnImage(key[1], key[0], found) if isinstance(found, np.ndarray) else None


def forget_last() -> None:
    """The visitor has taken it back."""
    st.session_state.pop(_LAST, None)


def _stored_images() -> dict[tuple[str, str, tuple[int, int]], np.ndarray | str]:
    """Images, or why there is none, the latest last."""
    held: dict[tuple[str, str, tuple[int, int]], np.ndarray | str] = st.session_state.setdefault(_HELD, {})
    return held


def count_upload(times: Sequence[float], now: float, name: str) -> tuple[float, ...]:
    """The times of a visitor's decodings with this one. Raises ImageError where it is one too many."""
    if len(times) >= MAX_PER_VISIT:
        raise ImageError(
            f"{name} was not added: the limit is {MAX_PER_VISIT} images per visit. Reload the page to continue."
        )
    if sum(now - each < 60 for each in times) >= MAX_PER_MINUTE:
        raise ImageError(
            f"{name} was not added: the limit is {MAX_PER_MINUTE} uploads per minute. Try again in a minute."
        )
    return (*times, now)
