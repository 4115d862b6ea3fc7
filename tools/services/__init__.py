"""The services around the worker, one file each: whether they are configured, and whether they work."""
