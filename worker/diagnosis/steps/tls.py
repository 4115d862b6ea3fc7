"""Step `tls`: does the TLS handshake succeed, and for how long will it?"""

from __future__ import annotations

import ssl
from typing import Final

from worker.diagnosis.case import Case, Found, skipped
from worker.diagnosis.report import Finding, Status
from worker.diagnosis.steps import sockets
from worker.diagnosis.steps.certificate import Certificate, look, of_handshake
from worker.diagnosis.steps.greeting import Kind, greet
from worker.redis.translate import translate
from worker.redis.troubles import trouble

#: A certificate that expires sooner should have been renewed by now (Let's Encrypt renews 30 days before).
SOON_DAYS: Final = 14
#: X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED and the two for self-signed chains (openssl/x509_vfy.h).
_NOT_YET, _EXPIRED, _SELF_SIGNED = 9, 10, (18, 19)


def check_tls(case: Case) -> Found:
    """Shake hands as redis-py does; on failure read the certificate, or find out whether the port speaks plain text."""
    target = case.there
    if not target.tls:
        found = skipped("plain text: the URL does not ask for TLS")
        if target.password and any(address.is_public for address in case.addresses):
            found.status = Status.WARNING
            found.add(
                Status.WARNING,
                "The password crosses the open internet in plain text.",
                "Use rediss:// if the server has a TLS port, or a private network.",
            )
        return found
    try:
        context = sockets.context_of(target)
    except OSError as error:  # ssl.SSLError: a CA or key file that holds none
        return Found(
            "unusable", [Finding.of(trouble("tls"), f"A file named in the URL cannot be used: {_why(error)}.")]
        )
    try:
        with sockets.wrap(case, context, share=sockets.FIRST_SHARE) as end:
            version, cipher = end.version() or "", (end.cipher() or ("",))[0]
            certificate = of_handshake(end)
    except OSError as error:
        return _failure(case, error)
    found = Found(f"{version}, {cipher}", facts={"version": version, "cipher": cipher})
    if certificate is None:
        found.says += ", certificate not checked"
        return found
    found.facts |= _facts(certificate)
    found.says += f", certificate good for {certificate.days_left} days"
    if certificate.days_left < SOON_DAYS:
        found.add(
            Status.WARNING,
            f"The certificate expires on {certificate.expires:%Y-%m-%d}.",
            "Renew it: once it has expired, nothing connects any more.",
        )
    return found


def _failure(case: Case, error: OSError) -> Found:
    reason = translate(error) or trouble("tls")
    if isinstance(error, ssl.SSLCertVerificationError):
        certificate = look(case)
        says, fix = _verdict(case, error, certificate)
        found = Found("not trusted", [Finding.of(reason, says, fix=fix)])
        if certificate is not None:
            found.facts = _facts(certificate)
        return found
    # A plain Redis takes a handshake for the beginning of a long command and waits for its end.
    if reason.code != "tls_to_plain" and greet(case, tls=False).kind is Kind.REDIS:
        reason = trouble("tls_to_plain")
    if isinstance(error, TimeoutError) and reason.code != "tls_to_plain":
        reason = trouble("tls", "")
        return Found("no answer", [Finding.of(reason, "The handshake was not answered in time.")])
    return Found("no handshake", [Finding.of(reason, _why(error) and f"OpenSSL reports: {_why(error)}.")])


def _verdict(case: Case, error: ssl.SSLCertVerificationError, certificate: Certificate | None) -> tuple[str, str]:
    """Return why the certificate was not accepted, and a fix where the table's is not the best."""
    if translated := translate(error):
        if translated.code == "tls_hostname" and certificate is not None:
            return f"It is for {certificate.named()}, not for {case.there.host}.", ""
        if error.verify_code == _EXPIRED and certificate is not None:
            return (
                f"It expired on {certificate.expires:%Y-%m-%d}, {-certificate.days_left} days ago.",
                "Renew the server's certificate, or ask its provider to; if it is newer, the clock here is wrong.",
            )
        if error.verify_code == _NOT_YET:
            return (
                "It is not valid yet.",
                "Set the clock of this machine; if that is right, wait, or ask the provider.",
            )
        if error.verify_code in _SELF_SIGNED:
            return "It is self-signed, or ends in an authority that this machine does not know.", ""
    return f"OpenSSL reports: {error.verify_message}.", ""


def _why(error: OSError) -> str:
    """Return OpenSSL's reason in words; "" when it gave none. It holds no file names and no hosts."""
    return str(getattr(error, "reason", None) or "").replace("_", " ").lower()


def _facts(certificate: Certificate) -> dict[str, object]:
    return {
        "names": list(certificate.names),
        "issuer": certificate.issuer,
        "expires": certificate.expires.isoformat(),
        "days_left": certificate.days_left,
    }
