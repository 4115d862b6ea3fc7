"""Step `url`: is REDIS_URL a URL that can work at all?"""

from __future__ import annotations

from worker.diagnosis.case import Case, Found, target_of
from worker.diagnosis.report import Status
from worker.settings import redis_url


def check_url(case: Case) -> Found:
    """Check the URL; show neither user nor password, and nothing at all of a bad one."""
    found = Found("")
    for problem in redis_url.problems(case.url, needed=True):
        found.says = f"{problem.variable}: got {problem.got}."
        found.add(
            Status.FAILED,
            found.says,
            f"It wants {problem.wants}." + f" Example: {problem.variable}={problem.example}" * bool(problem.example),
            "bad_url",
        )
    if found.findings:
        return found
    case.target = target = target_of(case.url)
    found.says = str(target)
    found.facts = {
        "scheme": target.scheme,
        "host": target.host,
        "port": target.port,
        "database": target.database,
        "user": bool(target.user),
        "password": bool(target.password),
        "tls": target.tls,
        "options": sorted(target.options),
        "sentinels": [sentinel.at for sentinel in target.sentinels],
    }
    for name in sorted(redis_url.IGNORED & target.options.keys()):
        found.add(Status.OK, f"The option {name} is for other programs: the worker uses its own value.")
    if target.options.get("ssl_cert_reqs") in ("none", "optional"):
        found.add(
            Status.WARNING,
            "ssl_cert_reqs turns the check of the certificate off: anyone on the way can read the password.",
            "Name the provider's CA file with ?ssl_ca_certs=/path/ca.pem instead.",
        )
    return found
