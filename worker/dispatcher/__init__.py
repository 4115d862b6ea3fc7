"""The process that does what an instance needs once; the list of its chores is in ``chores.py``."""
