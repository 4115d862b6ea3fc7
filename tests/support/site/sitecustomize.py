"""Give a service under test a name server of its own: put this folder on its PYTHONPATH, and name a file in TEST_HOSTS.

Python imports this module at its start. The file has lines "ADDRESS NAME"; names that end in .test are looked up in it
each time they are resolved, with the error that a name server gives for names that are not there. All others go to the
system. /etc/hosts is not ours to edit.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

if "TEST_HOSTS" in os.environ:
    _system = socket.getaddrinfo
    _hosts = Path(os.environ["TEST_HOSTS"])

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        """Resolve a name of the file; raises `socket.gaierror` when it is not there."""
        if not isinstance(host, str) or not host.endswith(".test"):
            return _system(host, *args, **kwargs)
        known = dict(reversed(line.split()) for line in _hosts.read_text().splitlines())
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return _system(known[host], *args, **kwargs)

    socket.getaddrinfo = getaddrinfo
