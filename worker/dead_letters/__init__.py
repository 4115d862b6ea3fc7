"""The dead-letter queue: filter, group, change, collect and trim the jobs that failed for good."""
