"""Tests of app/session."""
