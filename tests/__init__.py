"""Tests; a package so that helpers such as `tests.golden_data` import the same from everywhere."""
