"""`python -m worker migrate`: copy everything to another Redis, each job once."""
