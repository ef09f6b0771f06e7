"""Tests of app/compare."""
