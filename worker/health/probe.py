"""Ask this machine's own health endpoint, for a container's HEALTHCHECK: `python -m worker.health.probe`.

Small on purpose: a platform starts it every few seconds, so it imports neither Redis nor the settings, and the image
needs no curl. It reads the variables that set where the endpoint listens.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Final

#: The endpoint answers from memory in milliseconds; below the HEALTHCHECK's own limit.
TIMEOUT_SECONDS: Final = 4.0
DEFAULT_PORT: Final = "8080"
#: Addresses that mean "every address of this machine".
_ANY: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 — compared, not bound


def ask(host: str, port: int, path: str = "/healthz") -> tuple[bool, str]:
    """Return whether the endpoint answers 200, and its answer in one line."""
    connection = HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read(8192))
        return answer.status == 200, f"{body['status']}: {body['reason']}"
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        return False, f"no answer from port {port}: {type(error).__name__}"
    finally:
        connection.close()


def main(environ: Mapping[str, str]) -> int:
    """Probe and return 0 or 1, the two codes that Docker knows."""
    port = environ.get("HEALTH_PORT") or environ.get("PORT") or DEFAULT_PORT
    if port == "0":
        print("the endpoint is turned off (HEALTH_PORT=0), so the state is unknown")  # noqa: T201 — Docker shows it
        return 0
    host = environ.get("HEALTH_HOST", "")
    passed, words = ask(_ANY.get(host, host), int(port) if port.isdigit() else 0)
    print(words)  # noqa: T201 — Docker shows it
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(os.environ))
