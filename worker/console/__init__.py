"""The console: pages on which people see the fleet, and act. Start at ``app.py``; ``routes.py`` is the list."""
