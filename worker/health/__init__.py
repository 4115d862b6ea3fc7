"""What the probes answer, from shared memory only."""
