"""Texts of the web made fit to print: what would steer a terminal or a page is written out, and length is bounded."""

import re
import unicodedata

# Control, format, private and unpaired code points, line and paragraph separators: none has a look of its own. Overrides of the
# writing direction (U+202A to U+202E, U+2066 to U+2069) are among the format characters.
_STEERING = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji need them, and they move nothing
_SUSPECT = re.compile(r"[^\x20-\x7e\uac00-\ud7a3]")
_MARK = r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_PILED = re.compile(f"({_MARK}{{4}}){_MARK}+")  # a fifth mark on a letter climbs over the lines above


def visible(text: str, limit: int) -> str:
    """Return a text as one line of at most `limit` characters (3 or more), steering characters written as U+202E in brackets.

    Tabs and line ends become spaces. The text still has to be escaped for where it is put.
    """
    line = " ".join(text[: 4 * limit].split())
    shown = _PILED.sub(r"\1", _SUSPECT.sub(_written, line))
    return shown if len(shown) <= limit and len(text) <= 4 * limit else shown[: limit - 3] + "..."


def _written(found: "re.Match[str]") -> str:
    letter = found.group()
    steers = unicodedata.category(letter) in _STEERING and letter not in _JOINERS
    return f"[U+{ord(letter):04X}]" if steers else letter
