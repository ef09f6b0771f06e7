"""Tests of core/workspace."""
