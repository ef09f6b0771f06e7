"""State and services shared by all visitors: caches, queues, background workers, jobs and searches."""
