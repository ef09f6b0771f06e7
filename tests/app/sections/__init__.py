"""Tests of app/sections."""
