"""Load tests with many visitors, and kills during builds: `tests.load.load`, `killing` and `random_walk`."""
