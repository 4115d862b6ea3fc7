"""What one job's life means in Redis: claim, outcome, dead letter, rescue."""
