"""Sets of patches as short texts, for links and recipes: one bit per patch, in URL-safe base64."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection

from fpc_core.bounds import MAX_PATCHES

MAX_CHARACTERS = -(-MAX_PATCHES // 6)  # A character encodes six bits.


def pack(patches: Collection[int]) -> str:
    """Return a set of patches as text; `unpack` reverses this.

    Bit i of byte b is set if patch 8 b + i belongs to the set. Trailing zero bytes and padding are omitted, so the
    empty set is an empty text.
    """
    bits = sum(1 << patch for patch in set(patches))
    return base64.urlsafe_b64encode(bits.to_bytes(-(-bits.bit_length() // 8), "little")).decode("ascii").rstrip("=")


def unpack(text: str) -> tuple[int, ...]:
    """Return the patches that a text from `pack` encodes, in ascending order.

    Raises:
        ValueError: The text is not from `pack`; the message describes the problem without quoting the text.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a set of patches has at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a set of patches must be written in URL-safe base64") from error
    bits = int.from_bytes(content, "little")
    patches = tuple(patch for patch in range(bits.bit_length()) if bits >> patch & 1)
    if pack(patches) != text:
        raise ValueError("a set of patches is damaged; copy the complete text again")
    return patches
