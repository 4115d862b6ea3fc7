"""A storm: every kind of job, every kind of blow at once, and an exact account of each job at the end."""
