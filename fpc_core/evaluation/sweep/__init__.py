"""Sweeps over keep rate, alpha and K."""
