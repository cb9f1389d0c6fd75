import html
import time
import unicodedata

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curation.ids import pair_id, pair_ids
from curation.text import MAX_MARKS, SHORT_TEXT, clean, has_hangul, nfc, normalise, script_counts

# What the rules speak of comes up often; everything else, lone surrogates included, comes up too.
SPECIAL = "&amp;#x20 \t\r\n\x00\x01\x1f\x7f\x85\xa0\xad\u200b\u200c\u200d\u200e\u202e\u2066\u2069\ufeff\u0301\u0316\u0344\u05d0\u0628\u064e\u0915\u094d\u093c가각나\u1100\u1161\u11a8ＡｂAb1_\u2126\u2260\u0338←👩👨\ufe0f🏴\U000e0067\U000e007f\ud800\udfff"
TEXTS = st.text(st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=())), max_size=60)


@given(TEXTS)
def test_normalise_is_idempotent(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@given(TEXTS)
def test_clean_is_idempotent_where_no_entity_is_left(text: str) -> None:
    once = clean(text)
    assert clean(once) == normalise(html.unescape(once))
    if html.unescape(once) == once:
        assert clean(once) == once


@given(TEXTS)
def test_clean_text_is_encodable_composed_and_without_invisible_characters(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert not any(unicodedata.category(char) == "Cc" for char in cleaned)
    assert not set(cleaned) & set(
        "\ufeff\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\xad"
    )


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=60))
def test_letters_are_only_composed(text: str) -> None:
    assert normalise(text) == " ".join(unicodedata.normalize("NFC", text.replace("\xad", "")).split())


@given(st.text(st.sampled_from("a가ア\u0301\u0316\u0344\u093c\u3099"), min_size=0, max_size=200))
def test_marks_in_a_row_are_bounded(text: str) -> None:
    longest = run = 0
    for char in normalise(text):
        run = run + 1 if unicodedata.combining(char) else 0
        longest = max(longest, run)
    assert longest <= MAX_MARKS


# Marks of many classes, letters that hold marks, symbols that NFC composes or takes apart, jamo, and marks of class 0.
MARKED = "aq=\u1ebf\u2260\u0301\u0316\u0323\u0327\u0338\u0344\u0345\u05b0\u093c\u09be\u0f71\u0f73\u0f74\u0f81\u3099\u302a가\u1100\u1161\u11a8 \u20dd"


@given(
    st.text(st.sampled_from(MARKED), max_size=200).flatmap(
        lambda text: st.integers(1, 8).map(lambda times: text * times)
    ),
    st.integers(0, SHORT_TEXT),
)
def test_nfc_is_that_of_unicodedata_for_runs_of_any_length(text: str, before: int) -> None:
    text = "b" * before + text
    assert nfc(text) == unicodedata.normalize("NFC", text)


@given(st.text(st.sampled_from("\u0301\u0316\u0344\u0345\u0f73\u302a"), min_size=SHORT_TEXT, max_size=900))
def test_nfc_of_nothing_but_marks_is_that_of_unicodedata(marks: str) -> None:
    for text in (marks, "\u1ebf" + marks, "가" + marks + "각"):
        assert nfc(text) == unicodedata.normalize("NFC", text)


def test_a_long_run_of_marks_has_an_id_at_once() -> None:
    text = "a" + "\u0345\u0301\u0323\u0327" * 50_000
    begun = time.perf_counter()
    found = pair_id("http://a.example/", text)
    assert time.perf_counter() - begun < 10  # by insertion it takes a minute
    assert pair_ids(pa.array(["http://a.example/"]), [text]).to_pylist() == [found]
    assert pair_id("http://a.example/", unicodedata.normalize("NFD", nfc(text))) == found


def counted_by_name(text: str) -> tuple[int, int, int]:
    counts = [0, 0, 0]
    for char in text:
        if char.isalpha():
            name = unicodedata.name(char, "")
            hangul, latin = "HANGUL" in name, "LATIN" in name
            counts[0 if hangul else 1 if latin else 2] += 1
    return counts[0], counts[1], counts[2]


@given(
    st.text(
        st.one_of(st.sampled_from("aZéßøＡｚ가힣ㄱㅏｱあ漢яאً1٣²_-. ½"), st.characters(max_codepoint=0x2AF)),
        max_size=40,
    )
)
def test_script_counts_agree_with_the_names_of_the_characters(text: str) -> None:
    text = "".join(char for char in text if char not in "ªº")  # of script Latin, and not so named
    assert script_counts(text) == counted_by_name(text)
    assert has_hangul(text) == (script_counts(text)[0] > 0)
