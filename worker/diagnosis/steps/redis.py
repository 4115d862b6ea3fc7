"""Step `redis`: is it Redis that answers, and does it answer at all?"""

from __future__ import annotations

from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Finding
from worker.diagnosis.steps.greeting import Kind, greet
from worker.redis.troubles import trouble

#: Refusals that only Redis sends; the next step, with the password, looks into them.
_NEXT_STEP = ("no_auth",)


def check_redis(case: Case) -> Found:
    """Send PING without a password: Redis answers or asks for one, and other servers show what they are."""
    greeting = greet(case, tls=case.there.tls)
    if greeting.kind is Kind.REDIS:
        reason = greeting.trouble
        if reason is None:
            case.password_needed = False
            return Found("answers PING", facts={"password_needed": False})
        if reason.code in _NEXT_STEP:
            return Found("answers, and asks for a password", facts={"password_needed": True})
        return Found("answers, and refuses", [Finding.of(reason)])
    if greeting.kind is Kind.OTHER and greeting.words != "a TLS server":
        return Found(greeting.words, [Finding.of(trouble("not_redis"), f"It is {greeting.words}.")])
    if not case.there.tls and not case.there.is_unix and greet(case, tls=True).kind is Kind.REDIS:
        return Found("a TLS server", [Finding.of(trouble("plain_to_tls"), "Redis answers there over TLS.")])
    if greeting.kind is Kind.OTHER:
        return Found(greeting.words, [Finding.of(trouble("plain_to_tls"))])
    if greeting.kind is Kind.SILENT:
        says = "It accepts connections and does not answer: frozen, overloaded, or not Redis."
        return Found("does not answer", [Finding.of(trouble("read_timeout"), says)])
    return Found("hangs up", [Finding.of(greeting.trouble or trouble("reset"), "It hung up without an answer.")])
