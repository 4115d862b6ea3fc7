"""`python -m worker types`: the job functions' arguments and results, as TypeScript and as Python."""
