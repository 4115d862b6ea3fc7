"""The steps of the diagnosis, one file each, named as the step."""
