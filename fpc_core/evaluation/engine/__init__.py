"""Run queries with all settings that an evaluation needs, and store the results."""
