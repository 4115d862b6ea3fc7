"""All instances together: their state, the monitor's page and the autoscaler."""
