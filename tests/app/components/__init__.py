"""Tests of app/components."""
