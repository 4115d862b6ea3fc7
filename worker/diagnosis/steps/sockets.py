"""Part of a step: open the kind of socket that the worker would: TCP, TLS or a unix socket."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from worker.diagnosis.case import Case, Target

_REQUIREMENTS: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
#: Share of a step's time for its first try, where a second try finds out more about silence.
FIRST_SHARE: Final = 0.6
_FALSE: Final = ("false", "0", "no", "off")


def plain(case: Case) -> socket.socket:
    """Connect to the first address that accepts connections, or to the path; raises `OSError`."""
    if case.there.is_unix:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end.settimeout(case.left)
        try:
            end.connect(case.there.path)
        except OSError:
            end.close()
            raise
        return end
    return socket.create_connection(case.addresses[0].sockaddr, case.left)


def wrap(case: Case, context: ssl.SSLContext, *, share: float = 1.0) -> ssl.SSLSocket:
    """Connect and shake hands in a `share` of the time left; raises `OSError` (`ssl.SSLError` among them)."""
    end = plain(case)
    try:
        end.settimeout(case.left * share)
        return context.wrap_socket(end, server_hostname=case.there.host)
    except OSError:
        end.close()
        raise


def context_of(target: Target) -> ssl.SSLContext:
    """Make redis-py's TLS context for the URL's options (redis/connection.py, `SSLConnection`)."""
    options = target.options
    context = ssl.create_default_context()
    requirement = _REQUIREMENTS[options.get("ssl_cert_reqs", "required")]
    checked = options.get("ssl_check_hostname", "true").lower() not in _FALSE
    context.check_hostname = checked and requirement is not ssl.CERT_NONE
    context.verify_mode = requirement
    if certificate := options.get("ssl_certfile"):
        context.load_cert_chain(certificate, options.get("ssl_keyfile"), options.get("ssl_password"))
    if authorities := {
        name: options[option]
        for name, option in (("cafile", "ssl_ca_certs"), ("capath", "ssl_ca_path"), ("cadata", "ssl_ca_data"))
        if option in options
    }:
        context.load_verify_locations(**authorities)
    if ciphers := options.get("ssl_ciphers"):
        context.set_ciphers(ciphers)
    return context


def unchecked() -> ssl.SSLContext:
    """Make a context that accepts any certificate: for looking at it, never for sending a secret."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
