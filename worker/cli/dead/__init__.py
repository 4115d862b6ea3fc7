"""`python -m worker dead`: ``command.py`` lists the sub-commands, which have a file each."""
