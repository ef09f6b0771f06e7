"""Helpers of the tests: fixtures, servers, fake devices and reference implementations."""
