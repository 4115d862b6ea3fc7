"""The commands under `python -m worker dead`, one file for what belongs together."""
