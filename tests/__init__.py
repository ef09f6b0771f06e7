"""Tests; a package so that helpers such as `tests.support.golden_data` import the same from everywhere."""
