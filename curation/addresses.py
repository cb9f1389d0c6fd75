"""A link's address, resolved against its page: absolute, canonical, http or https, or the reason why not.

Step `extract`. `resolve_plainly` is the rule, by `urllib.parse` alone; `Base.resolve` gives the same answers and takes the
usual forms (absolute, below the page's folder, below one of its parents, below the root) without it.
"""

import re
from urllib.parse import urljoin, urlsplit

from curation.errors import Reason
from curation.ids import canonical_url

_AROUND = " \t\n\r\f"  # HTML strips these around an attribute's address
_INSIDE = str.maketrans("", "", "\t\n\r")  # and browsers remove these inside it
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_HOST = re.compile(r"https?://(?:[/?#]|$)", re.IGNORECASE)  # urljoin would lend it the page's host
# The easy forms are of printable ASCII; "?" and ";" are left out of paths, where urljoin may drop them, and ":" out of
# relative ones, where it may end a scheme. Of paths, those with "//" or "/." are not easy: urljoin rewrites them.
_HOST = r"https?://[a-z0-9][a-z0-9.-]*(?::[1-9][0-9]{0,3})?"
_CHARS = r"[!\"$-9<->@-\[\]-~]"
_EASY_ABSOLUTE = re.compile(rf"{_HOST}(?:/[!\"$-:<->@-~]*(?:\?[!\"$->@-~]+)?)?")
_EASY_CLIMB = re.compile(r"(?:\.\.?/)*|/")
_EASY_RELATIVE = re.compile(rf"{_CHARS}+(?:\?[!\"$-~]+)?")
_EASY_PAGE = re.compile(rf"({_HOST}/)((?:{_CHARS}*/)?){_CHARS}*(?:\?[!\"$-~]+)?")


def resolve_plainly(base: str, url: object) -> str | Reason:
    """Return the canonical address of `url` on a page whose base is `base`, or why there is none.

    NO_URL: missing or blank. BAD_URL: not a text, a control character, a lone surrogate, no host, or `urllib.parse` cannot
    split it. NOT_HTTP: another scheme.
    """
    if url is None:
        return Reason.NO_URL
    if not isinstance(url, str):
        return Reason.BAD_URL
    url = url.strip(_AROUND).translate(_INSIDE)
    if not url:
        return Reason.NO_URL
    if _CONTROL.search(url) or _NO_HOST.match(url):
        return Reason.BAD_URL
    try:
        absolute = canonical_url(urljoin(base, url))
        absolute.encode()
        parts = urlsplit(absolute)
        if parts.scheme not in {"http", "https"}:
            return Reason.NOT_HTTP
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # UnicodeEncodeError is one too
        return Reason.BAD_URL
    return absolute if has_host and not re.search(r"\s", parts.netloc) else Reason.BAD_URL


def resolve_absolute(url: object) -> str | Reason:
    """Return what `resolve_plainly` returns where there is no page."""
    if isinstance(url, str) and _EASY_ABSOLUTE.fullmatch(url):
        return url
    return resolve_plainly("", url)


class Base:
    """What the links of one page are resolved against."""

    def __init__(self, page_url: str, base: object = None) -> None:
        """page_url: a sound http(s) address. base: what the page's base element says; ignored where it is unsound."""
        given = resolve_plainly(page_url, base) if base else page_url
        self.address = page_url if isinstance(given, Reason) else given
        self._folders: dict[str, str] = {}

    def resolve(self, url: object) -> str | Reason:
        """Return what `resolve_plainly` returns."""
        if isinstance(url, str):
            if url[:4] == "http" and _EASY_ABSOLUTE.fullmatch(url):
                return url
            path = url.lstrip("./")
            if path and "//" not in path and "/." not in path and _EASY_RELATIVE.fullmatch(path):
                climb = url[: len(url) - len(path)]
                folder = self._folders.get(climb) or self._folder(climb)
                if folder:
                    return folder + path
        return resolve_plainly(self.address, url)

    def _folder(self, climb: str) -> str | None:
        """Return the folder that `climb` ("", "/", "../", ...) leads to, with its slash; None where it is no such thing."""
        if not _EASY_CLIMB.fullmatch(climb):
            return None
        page = _EASY_PAGE.fullmatch(self.address)
        if page is None or "//" in page[2] or "/." in page[0][7:]:
            folder = canonical_url(urljoin(self.address, climb + "x"))[:-1]
        elif climb == "/":
            folder = page[1]
        else:
            ups = climb.count("..")
            folder = page[1] + (page[2].rsplit("/", ups + 1)[0] + "/" if page[2].count("/") > ups else "")
        if len(climb) <= 60:  # bounds what a hostile page can make us hold
            self._folders[climb] = folder
        return folder
