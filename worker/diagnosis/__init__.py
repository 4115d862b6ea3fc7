"""What is wrong with Redis, found out step by step.

``course.py`` runs the steps in order and stops where further ones make no sense. A step is a function in a file of its
own that looks at one thing and returns `Found`. ``report.py`` is what comes out: the tools print it, `python -m worker
check` quotes it, the boot log carries it. Sentences about trouble come from ``worker/redis/troubles.py``.
"""
