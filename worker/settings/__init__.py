"""What can be set: every variable with its type, bounds and default, and the sentence about a wrong value."""

from worker.settings.model import Settings as Settings
