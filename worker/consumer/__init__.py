"""The process that claims jobs, runs them and settles them; start at ``loop.py``."""

from worker.consumer.loop import Consumer as Consumer
