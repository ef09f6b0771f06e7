"""Runs queries through every setting an evaluation needs, and stores the results."""
