"""What people do on the pages, and with the commands: the same functions, and each is in the audit with who did it."""


class ActionRefused(Exception):
    """It cannot be done, and nothing was changed; the sentence is shown."""
