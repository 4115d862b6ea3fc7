"""Find out step by step what is wrong with Redis.

``course.py`` runs the steps in order and skips those that need one that failed. A step is a function in ``steps/`` that
checks one thing and returns `Found`. The result is a `Report` (``report.py``): the tools and `python -m worker
check` print it, the boot log quotes it. Sentences about trouble come from ``worker/redis/troubles.py``.
"""
