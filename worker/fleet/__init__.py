"""All instances together: their state, the monitor's pages and the autoscaler."""
