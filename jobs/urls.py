"""The addresses that jobs are given: checked, and brought into one canonical form."""

from __future__ import annotations

import httpx

from worker.retry import PermanentError

#: Longest URL that is taken, in characters; browsers and proxies give up between 2,000 and 8,000.
MAX_LENGTH = 4096

#: Query parameters that say where a visitor came from, not which page they see.
_TRACKING_PREFIXES = ("utm_", "hsa_", "mtm_", "pk_", "mc_", "_hs", "vero_", "trk_")
_TRACKING_NAMES = frozenset(
    {
        *(
            "_ga",
            "_gl",
            "gclid",
            "gclsrc",
            "dclid",
            "gbraid",
            "wbraid",
            "gad_source",
            "gad_campaignid",
            "srsltid",
        ),
        *("fbclid", "igsh", "igshid", "msclkid", "yclid", "ysclid", "twclid", "ttclid", "li_fat_id", "epik"),
        *("irclickid", "cjevent", "rb_clickid", "s_kwcid", "wickedid"),
    }
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "give one such as 'https://shop.example/lamp'"


def checked(url: object, what: str = "the URL") -> httpx.URL:
    """Return `url`, parsed; `what` names it in errors.

    Raises `PermanentError` unless it is an absolute http or https URL without credentials.
    """
    if not isinstance(url, str):
        raise PermanentError(f"{what} is of type {type(url).__name__}; {_EXAMPLE}")
    if len(url) > MAX_LENGTH:
        raise PermanentError(f"{what} has {len(url):,} characters; give one of at most {MAX_LENGTH:,}")
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise PermanentError(f"{what} cannot be read: {error}; {_EXAMPLE}") from error
    if parsed.scheme not in _DEFAULT_PORTS or not parsed.host:
        raise PermanentError(f"{what} is not an absolute http or https URL; {_EXAMPLE}")
    if parsed.userinfo:
        raise PermanentError(f"{what} carries a user name or password; leave out what stands before the '@'")
    if not all(character.isalnum() or character in "-._:" for character in parsed.raw_host.decode("ascii")):
        raise PermanentError(f"{what} has a host name with characters that no host name has; {_EXAMPLE}")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise PermanentError(f"{what} has the port {parsed.port}; ports go from 1 to 65535")
    return parsed


def canonical(url: httpx.URL) -> httpx.URL:
    """Return the form that all links to the same page share.

    Fragment, default port, a host's trailing dot and tracking parameters go; the order of the others stays,
    because it can matter to a shop.
    """
    path, _, query = url.raw_path.decode("ascii").partition("?")
    kept = "&".join(part for part in query.split("&") if part and not _is_tracking(part))
    return url.copy_with(
        host=url.host.rstrip("."),
        port=None if url.port == _DEFAULT_PORTS.get(url.scheme) else url.port,
        raw_path=f"{path}?{kept}".removesuffix("?").encode("ascii"),
        fragment=None,
    )


def _is_tracking(part: str) -> bool:
    name = part.partition("=")[0].lower()
    return name in _TRACKING_NAMES or name.startswith(_TRACKING_PREFIXES)
