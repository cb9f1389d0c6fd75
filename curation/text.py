"""Cleaning: the text as read to the text as matched, and what scripts its letters are of. A step of `match`; no table of its own.

    clean(text) = normalise(html.unescape(text))

Entities are resolved once, by HTML's rules: `&amp;` gives `&`, and `&amp;amp;` gives `&amp;`, as a browser shows it.
`normalise` is idempotent; `clean` is so wherever its result holds no further entity. Both take any str and are linear in
its length. The rest, in order:

- removed: control characters (Cc) that are no white space; zero-width space, word joiner, U+FEFF, soft hyphen, Mongolian
  vowel separator, invisible operators; every bidirectional mark, override and isolate; interlinear annotation marks;
- removed out of place: the zero-width joiner stays between pictographs (family emoji), joiner and non-joiner stay between
  two Arabic letters, where Persian spells with them; tag characters stay in the flag of a subdivision;
- lone surrogates become U+FFFD, so that what comes out can always be encoded;
- combining marks after the thirtieth in a row are removed (the bound of UAX #15's stream-safe format): NFC sorts them in
  quadratic time;
- NFC. Nothing is folded: full-width Latin stays full-width, ligatures stay;
- runs of white space (str.isspace: tab, newline, no-break space, ideographic space, ...) become one space; ends trimmed.

Variation selectors stay.
"""

import html
import re
import unicodedata
from itertools import chain

MAX_MARKS = 30  # combining marks in a row; UAX #15, section 13
SHORT_TEXT = (
    256  # characters; of so few, unicodedata's own order of marks takes a tenth of a millisecond at the worst
)

_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad"  # Cc that is no white space; soft hyphen
    "\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Ranges that NFC maps into themselves, or what stays in place would depend on its order.
_PICTOGRAPH = "\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff\ufe0f"
_ARABIC_LETTER = "\u0620-\u064a\u0671-\u06d3"
_JOINER = re.compile(
    f"(?<=[{_PICTOGRAPH}])\u200d(?=[{_PICTOGRAPH}])"
    f"|(?<=[{_ARABIC_LETTER}])[\u200c\u200d](?=[{_ARABIC_LETTER}])"
    "|(?P<stray>[\u200c\u200d])"
)
_TAG = re.compile(
    "(?P<flag>\U0001f3f4[\U000e0020-\U000e007e]{1,16}\U000e007f)|[\U000e0000-\U000e007f]"  # subdivision flags
)
_HUGE_REFERENCE = re.compile(r"&#[0-9]{4000,};?")  # int() refuses more than 4,300 digits
_LONG_NON_WORD = re.compile(rf"[^\w\s\x00-\x7f]{{{MAX_MARKS + 1},}}")  # no combining mark is in \w

_HANGUL = (
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7c6\ud7cb-\ud7fb"
    "\uffa0-\uffbe\uffc2-\uffc7\uffca-\uffcf\uffd2-\uffd7\uffda-\uffdc"
)
_LATIN = (
    "A-Za-z\xaa\xba\xc0-\xd6\xd8-\xf6\xf8-\u02b8\u02e0-\u02e4\u1d00-\u1d25\u1d2c-\u1d5c\u1d62-\u1d65\u1d6b-\u1d77"
    "\u1d79-\u1dbe\u1e00-\u1eff\u2071\u207f\u2090-\u209c\u212a\u212b\u2132\u214e\u2184\u2c60-\u2c7f\ua722-\ua787"
    "\ua78b-\ua7ff\uab30-\uab5a\uab5c-\uab64\uab66-\uab69\ufb00-\ufb06\uff21-\uff3a\uff41-\uff5a"
)
_HANGUL_LETTER = re.compile(f"[{_HANGUL}]")
_HANGUL_RUN = re.compile(f"[{_HANGUL}]+")
_LATIN_RUN = re.compile(f"[{_LATIN}]+")
_OTHER_RUN = re.compile(f"[^\\W\\d_{_HANGUL}{_LATIN}]+")


def clean(text: str) -> str:
    """Return the text with entities resolved once and normalised, as the module says. Never raises on a str."""
    if "&" in text:
        text = _unescape(text)
    return normalise(text)


def _unescape(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:
        # A reference of thousands of digits names no character; HTML gives U+FFFD.
        return html.unescape(_HUGE_REFERENCE.sub("\ufffd", text))


def normalise(text: str) -> str:
    """Return the text without invisible characters, in NFC, with single spaces. Idempotent; never raises on a str."""
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
        text = _JOINER.sub(_joiner_in_place, text)
        text = _TAG.sub(_flag_or_nothing, text)
        # Once before NFC, for its time, and once after, since NFC splits a few letters and marks into more marks.
        text = _bound_marks(unicodedata.normalize("NFC", _bound_marks(text)))
    return " ".join(text.split())


def nfc(text: str) -> str:
    """Return the text in NFC, nothing removed: what unicodedata.normalize gives, in time linear in the length but for a sort.

    unicodedata orders the marks of a run by insertion: 16,000 of them take seconds, a megabyte hours. Long runs are therefore
    decomposed and put in canonical order before it sees them, which changes no normal form (UAX #15; Unicode, section 3.11).
    """
    if len(text) > SHORT_TEXT:
        text = _LONG_NON_WORD.sub(_ordered_marks, text)
    return unicodedata.normalize("NFC", text)


def _ordered_marks(match: re.Match[str]) -> str:
    """Return characters decomposed, each run of marks in a stable order of their combining classes."""
    found, marks = list[str](), list[str]()
    for char in chain.from_iterable(unicodedata.normalize("NFD", char) for char in match[0]):
        if unicodedata.combining(char):
            marks.append(char)
        else:
            found += [*sorted(marks, key=unicodedata.combining), char]
            marks.clear()
    return "".join([*found, *sorted(marks, key=unicodedata.combining)])


def _joiner_in_place(match: re.Match[str]) -> str:
    return "" if match["stray"] else match[0]


def _flag_or_nothing(match: re.Match[str]) -> str:
    return match["flag"] or ""


def _bound_marks(text: str) -> str:
    return _LONG_NON_WORD.sub(_first_marks, text)


def _first_marks(match: re.Match[str]) -> str:
    kept, marks = [], 0
    for char in match[0]:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= MAX_MARKS:
            kept.append(char)
    return "".join(kept)


def has_hangul(text: str) -> bool:
    """Whether any letter is Hangul: a syllable, a jamo, or half-width."""
    return not text.isascii() and _HANGUL_LETTER.search(text) is not None


def script_counts(text: str) -> tuple[int, int, int]:
    """Return the number of letters that are (Hangul, Latin, of another script).

    A letter is what `str.isalpha` calls one; digits, marks, punctuation and pictographs are none. Full-width Latin is Latin.
    """
    latin = sum(map(len, _LATIN_RUN.findall(text)))
    if text.isascii():
        return 0, latin, 0
    hangul = sum(map(len, _HANGUL_RUN.findall(text)))
    # \w holds numerals such as superscripts too, which are no letters.
    other = sum(char.isalpha() for run in _OTHER_RUN.findall(text) for char in run)
    return hangul, latin, other
