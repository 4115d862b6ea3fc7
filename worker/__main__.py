"""`python -m worker`."""

from worker.cli.main import main

main(prog_name="python -m worker")
