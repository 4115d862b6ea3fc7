"""A job package that lets consumers look for claims that they do not know of a second after a claim: see `impatient`.

It is a package of its own, because a consumer that looks so often needs nobody to wake it.
"""

from __future__ import annotations

from worker.settings import pace

pace.CLAIM_CHECK_SECONDS = 1.0  # type: ignore[misc]
pace.RARE_CLAIM_CHECK_SECONDS = 1.0  # type: ignore[misc]
