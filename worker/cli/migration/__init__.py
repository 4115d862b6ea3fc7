"""`python -m worker migrate`: move everything to another Redis, each job once."""
