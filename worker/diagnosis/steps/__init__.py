"""The steps of the diagnosis, one file each: url, dns, tcp, tls, redis, auth, latency, server, fitness, queues, rest.

A file is named as its step's name in the JSON, except that ``queues.py`` is `rq`. The other files are parts of steps:
sockets, certificate and greeting of `tls` and `redis`, rights of `auth`, limits and trials of `fitness`.
"""
