"""Tests of core/matching."""
