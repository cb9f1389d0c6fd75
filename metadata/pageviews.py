"""Page views: how often each title was asked for in an hour, from `pageviews-YYYYMMDD-HH0000.gz`.

A line is `domain_code page_title count_views total_response_size`, the four set apart by single spaces. Desktop and mobile
are lines of their own (`en`, `en.m`): the caller sums, over hours too. Left out, each with its reason: projects that are not
asked for, titles in a namespace (`Special:Search`, `분류:개`), the main page, titles that no page has, lines of no views, and,
unless it is asked otherwise, every other title with a colon. The last is MetaCLIP's rule; in its two ways of matching such
an entry could not be found anyhow, since a colon in a text is set apart by spaces.

Source of the format: https://wikitech.wikimedia.org/wiki/Analytics/Data_Lake/Traffic/Pageviews
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from curation.errors import InputError, Reason
from curation.stage import Tally
from metadata.namespaces import namespace_of
from metadata.streams import read_lines, read_pieces

UNIT = "lines"
MAX_LINE = 1 << 16  # bytes; an address is cut by the servers long before
MAX_TITLE = 255  # bytes of UTF-8; MediaWiki's bound
_MAX_DIGITS = 15  # of a count of views
_NO_TITLE = re.compile(
    "[\x00-\x1f\x7f-\x9f#<>\\[\\]|{}\ufffd]"
)  # characters that MediaWiki allows in no title
_MAIN_PAGE = "Main Page"


def read_views(
    source: str | BinaryIO, projects: Mapping[str, str], tally: Tally, *, colon_titles: bool = False
) -> Iterator[tuple[str, str, int]]:
    """Yield (lang, title, views) of each line that speaks of an article, in the file's order.

    source: an address that fsspec opens, or a stream of bytes; gzip or plain.
    projects: the codes that are asked for, each with its language: {"en": "en", "en.m": "en"}.
    colon_titles: keep `Star Wars: Episode IV` and leave out the titles in known namespaces only.
    Titles are percent-decoded, their underscores are spaces, and they are NFC. Every line is counted in the tally, unit "lines".
    Raises InputError where the file cannot be opened, or where none of its lines is one of page views.
    """
    wanted = {code.encode(): lang for code, lang in projects.items()}
    is_known = False
    malformed = 0
    for line in read_lines(read_pieces(source), max_line=MAX_LINE):
        found = line if isinstance(line, Reason) else _read_line(line, wanted, colon_titles=colon_titles)
        if isinstance(found, Reason):
            tally.drop(UNIT, found)
            malformed += found is Reason.MALFORMED_LINE
            is_known = is_known or found not in _SAYS_NOTHING
        else:
            is_known = True
            tally.keep(UNIT)
            yield found
    if malformed and not is_known:
        raise InputError(
            f"{_name(source)} is not a file of page views: of its {malformed} lines none is "
            f"'domain_code page_title count_views total_response_size'"
        )


_SAYS_NOTHING = frozenset({Reason.MALFORMED_LINE, Reason.TOO_LONG, Reason.TRUNCATED, Reason.DAMAGED})


def _name(source: str | BinaryIO) -> str:
    return source if isinstance(source, str) else str(getattr(source, "name", "the stream"))


def _read_line(
    line: bytes, wanted: Mapping[bytes, str], *, colon_titles: bool
) -> tuple[str, str, int] | Reason:
    fields = line.split(b" ")
    if len(fields) != 4:
        return Reason.MALFORMED_LINE
    code, name, views, size = fields
    if not (views.isdigit() and size.isdigit() and len(views) <= _MAX_DIGITS):
        return Reason.MALFORMED_LINE
    lang = wanted.get(code)
    if lang is None:
        return Reason.OTHER_PROJECT
    title = read_title(name)
    if isinstance(title, Reason):
        return title
    reason = _why_not(title, colon_titles=colon_titles)
    if reason is None and not int(views):
        reason = Reason.NO_VIEWS
    return reason or (lang, title, int(views))


def read_title(name: bytes) -> str | Reason:
    """Return the title that a line's name stands for, or why there is none: decoded once, spaces single, NFC."""
    raw = unquote_to_bytes(name) if b"%" in name else name
    try:
        title = raw.decode()
    except UnicodeDecodeError:
        return Reason.UNDECODABLE_BYTES
    title = " ".join(part for part in title.replace("_", " ").split(" ") if part)
    if title in {"", "-"} or len(raw) > MAX_TITLE or _NO_TITLE.search(title):
        return Reason.BAD_TITLE
    return title if title.isascii() else unicodedata.normalize("NFC", title)


def _why_not(title: str, *, colon_titles: bool) -> Reason | None:
    """Return why a title is not of an article that counts."""
    if title == _MAIN_PAGE:
        return Reason.MAIN_PAGE
    if ":" not in title:
        return None
    if namespace_of(title):
        return Reason.OTHER_NAMESPACE
    return None if colon_titles else Reason.COLON_TITLE
