"""Sets of patches are packed into short texts and unpacked unchanged, and other texts are refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpc_core.bounds import MAX_PATCHES
from fpc_core.io.packed_patches import MAX_CHARACTERS, pack, unpack


@given(st.sets(st.integers(0, MAX_PATCHES - 1), max_size=300))
def test_a_set_of_patches_survives_packing(patches):
    text = pack(patches)
    assert unpack(text) == tuple(sorted(patches))
    assert re.fullmatch(r"[A-Za-z0-9_-]*", text)
    assert len(text) <= MAX_CHARACTERS


def test_known_sets_have_the_documented_bits():
    assert pack([]) == ""
    assert pack([0]) == "AQ"  # This is the byte 00000001.
    assert pack([8, 15]) == "AIE"  # These are the bytes 00000000 10000001.


def test_all_patches_of_the_papers_grid_fit_in_42_characters():
    assert len(pack(range(242))) == 42


@given(st.text(max_size=60))
def test_any_text_is_either_canonical_or_refused(text):
    try:
        patches = unpack(text)
    except ValueError:
        return
    assert pack(patches) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A", "URL-safe base64"),
        ("A+==", "damaged"),
        ("Aé", "URL-safe base64"),
        ("AAAA", "damaged"),  # Its last bytes are zero.
        ("AR", "damaged"),  # Its last character sets unused bits.
        ("A" * (MAX_CHARACTERS + 1), r"at most 2,731 characters, got 2,732"),
    ],
)
def test_a_damaged_set_is_refused_with_a_reason(text, message):
    with pytest.raises(ValueError, match=message):
        unpack(text)
