"""Measure this worker beside RQ and its peers: ``python -m bench``."""
