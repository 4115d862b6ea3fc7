"""The dead-letter queue: filter, group, change, collect and trim what failed for good."""
