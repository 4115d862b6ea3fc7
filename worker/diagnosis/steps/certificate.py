"""Part of a step: read the certificate of a server, trusted or not."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from worker.diagnosis.case import Case
from worker.diagnosis.steps import sockets

#: X509_V_FLAG_NO_CHECK_TIME (openssl/x509_vfy.h), which the ssl module has no name for.
_NO_CHECK_TIME: Final = 0x200000
_SHOWN_NAMES: Final = 4


@dataclass(frozen=True, slots=True)
class Certificate:
    """The contents of a certificate."""

    names: tuple[str, ...]
    issuer: str
    expires: datetime

    @property
    def days_left(self) -> int:
        """Whole days until it expires; negative when it has."""
        return (self.expires - datetime.now(UTC)).days

    def named(self) -> str:
        """Return the names of the hosts that it is for, the first few."""
        more = len(self.names) - _SHOWN_NAMES
        return ", ".join(self.names[:_SHOWN_NAMES]) + f" and {more} more" * (more > 0) if self.names else "no host"


def of_handshake(end: ssl.SSLSocket) -> Certificate | None:
    """Read the certificate of a handshake that has checked it; None when it did not (ssl_cert_reqs=none)."""
    contents: dict[str, Any] = end.getpeercert() or {}
    if not contents:
        return None
    issuer = {name: value for part in contents.get("issuer", ()) for name, value in part}
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(contents["notAfter"]), UTC)
    return Certificate(
        tuple(value for _, value in contents.get("subjectAltName", ())),
        issuer.get("organizationName") or issuer.get("commonName") or "an authority without a name",
        expires,
    )


def look(case: Case) -> Certificate | None:
    """Read the certificate of a server that was not trusted; None when it cannot be had.

    The ssl module shows the contents only of a certificate that it has verified. So a second handshake trusts the
    server's own certificate as the authority and ignores its dates and names. Nothing is sent over either connection.
    """
    try:
        with sockets.wrap(case, sockets.unchecked()) as end:
            der = end.getpeercert(binary_form=True)
        if not der:
            return None
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
        trusting.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(der))
        with sockets.wrap(case, trusting) as end:
            return of_handshake(end)
    except OSError:
        return None
