"""Tests of core/gallery."""
