"""What all visitors share: caches, queues, the background worker, jobs and searches."""
