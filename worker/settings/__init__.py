"""What can be set: every variable with its type, bounds and default, and what is said about a wrong value."""

from worker.settings.model import Settings as Settings
