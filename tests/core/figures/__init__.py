"""Tests of core/figures."""
