"""Letters beyond ASCII in the report's curves: drawn with a font that is known to have them, or not at all.

matplotlib draws a box for a letter that its font lacks. So every label is looked up in the fonts' own tables of letters first,
and drawn as outlines, which look the same on every reader's machine. A label that no font covers is left out and said.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# Fonts that are made for Korean come first; any other that has the letters will do.
PREFERRED = ("Pretendard", "Noto Sans KR", "Noto Sans CJK KR", "NanumGothic", "NanumBarunGothic", "Malgun Gothic",
             "Apple SD Gothic Neo", "AppleGothic", "UnDotum", "Noto Sans CJK JP")  # fmt: skip
HANGUL = "\uac00\ud55c\ud7a3"
UNASSIGNED = 0x378  # a code point of no letter: a font that has it draws a box for everything (matplotlib brings one, Last Resort)
_UNSET = {
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Cn",
    "Mn",
    "Mc",
    "Me",
    "Zl",
    "Zp",
}  # categories that need a shaper, or show nothing


def is_drawable(text: str) -> bool:
    """Say whether letters set side by side are the text: no script that runs from the right or joins, stacks or reorders them."""
    kinds = {unicodedata.category(letter) for letter in text}
    directions = {unicodedata.bidirectional(letter) for letter in text}
    return bool(text) and not kinds & _UNSET and not directions & {"R", "AL", "AN"}


def font_for(text: str) -> Path | None:
    """Return the file of a font that has every letter of a text, a preferred one first; None where this machine has none."""
    return _font_for("".join(sorted(set(text))))


def hangul_font() -> str | None:
    """Return the family name of the font that draws Hangul here; None where no font has it."""
    found = font_for(HANGUL)
    if found is None:
        return None
    from matplotlib.font_manager import FontProperties

    return str(FontProperties(fname=str(found)).get_name())


@cache
def _font_for(letters: str) -> Path | None:
    return next((path for path in _fonts() if _covers(path, letters)), None)


@cache
def _fonts() -> tuple[Path, ...]:
    """Return the font files of this machine: preferred families, upright and regular ones, others, each group by name."""
    from matplotlib import font_manager

    listed = {entry.fname: entry for entry in font_manager.fontManager.ttflist}
    found: Iterable[str] = font_manager.findSystemFonts()  # matplotlib's own list may be older than a font

    def rank(name: str) -> tuple[int, int, str]:
        entry = listed.get(name)
        if entry is None:
            return len(PREFERRED) + 1, 1, Path(name).name
        place = PREFERRED.index(entry.name) if entry.name in PREFERRED else len(PREFERRED)
        plain = entry.style == "normal" and str(entry.weight) in {"400", "normal", "regular"}
        return place, 0 if plain else 1, Path(name).name

    return tuple(Path(name) for name in sorted({*found, *listed}, key=rank))


@cache
def _covers(path: Path, letters: str) -> bool:
    """Say whether a font file has every letter; a file that cannot be read has none, nor has a font of placeholders."""
    from matplotlib.ft2font import FT2Font

    try:
        known = FT2Font(str(path)).get_charmap().keys()
    except (OSError, RuntimeError):
        return False
    return UNASSIGNED not in known and set(map(ord, letters)) <= known
