import sys
import unicodedata

import pytest

from curation.text import clean, has_hangul, script_counts

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f466"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


def test_decomposed_hangul_is_composed() -> None:
    assert clean(unicodedata.normalize("NFD", "고양이가 앉아 있다")) == "고양이가 앉아 있다"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("&amp;amp;", "&amp;"),
        ("&lt;b&gt;", "<b>"),
        ("&#44256;&#xC591;&#51060;", "고양이"),
        ("caf&eacute;&nbsp;noir", "café noir"),
        ("AT&T", "AT&T"),
        ("&#0;", "\ufffd"),
        ("&#xD800;", "\ufffd"),
        ("&#" + "9" * 5000 + ";", "\ufffd"),
        ("&unknown;", "&unknown;"),
    ],
)
def test_entities_are_resolved_once(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a \t\r\n b\xa0c\u3000d\u2028e  ", "a b c d e"),
        ("a\x00b\x07c\x7fd\x9fe", "abcde"),
        ("a\x0bb\x1fc\x85d", "a b c d"),
        ("dog\u200bcat\ufeff \u2060x\xady", "dogcat xy"),
        ("\u202egnp.exe\u202c \u2067x\u2069\u200f", "gnp.exe x"),
        ("가\u200d나\u200c다", "가나다"),
        ("a\u200db", "ab"),
        (FAMILY, FAMILY),
        ("\U0001f469\u200d\u200b\U0001f469", "\U0001f469\u200d\U0001f469"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        (SCOTLAND, SCOTLAND),
        ("a\U000e0067\U000e0062b", "ab"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("a\ud800b", "a\ufffdb"),
        ("ＫＯＲＥＡ ﬁne", "ＫＯＲＥＡ ﬁne"),
        ("", ""),
        (" \u200b ", ""),
    ],
)
def test_what_goes_and_what_stays(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    "piece",
    ["a", " ", "가", "&", "&amp;", "&#", "&#1", "\u0301\u0316", "\u0344", "\u200d", FAMILY[:2], "\U0001f3f4", SCOTLAND[:3],
     "\U000e0067", "\ud800", "\x00", "\u1100\u1161", "\u0628\u200c"],
)  # fmt: skip
def test_a_hundred_thousand_characters_come_back(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    clean(text)
    script_counts(text)
    has_hangul(text)


def test_every_letter_named_latin_or_hangul_is_counted_as_such() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        name = unicodedata.name(char, "")
        if char.isalpha() and "HANGUL" in name:
            assert script_counts(char) == (1, 0, 0), name
        elif char.isalpha() and name.startswith(("LATIN ", "FULLWIDTH LATIN ")) and code < 0x10000:
            assert script_counts(char) == (0, 1, 0), name


def test_digits_marks_and_pictographs_are_no_letters() -> None:
    assert script_counts("12 ² ½ ٣ \u0301 _-.! \U0001f469") == (0, 0, 0)


def test_letters_are_counted_by_script() -> None:
    assert script_counts("고양이 cat 猫 кот") == (3, 3, 4)
