"""Letters on the page: texts of the web steer nothing, and a font is taken only for letters that it has."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.report import fonts, plots
from curation.report.visible import visible


@given(st.text(), st.integers(3, 50))
def test_visible_text_steers_nothing_and_is_bounded(text: str, limit: int) -> None:
    shown = visible(text, limit)
    assert len(shown) <= limit
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", shown
    )


@given(st.text(st.sampled_from("abc <>&\"'[]가힣é漢"), max_size=40))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert visible(text, 50) == " ".join(text.split())


def test_piled_marks_are_cut_and_long_texts_end_in_dots() -> None:
    assert visible("a" + "\u0301" * 90 + "b", 200) == "a" + "\u0301" * 4 + "b"
    assert visible("x" * 90, 20) == "x" * 17 + "..."
    assert visible("\u202e" * 1000, 20).endswith("...")


def test_a_font_is_taken_only_for_letters_that_it_has(tmp_path: Path) -> None:
    import matplotlib as mpl

    dejavu = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    assert fonts._covers(dejavu, "abc")
    assert not fonts._covers(dejavu, fonts.HANGUL)
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    assert not fonts._covers(broken, "a")
    assert fonts.font_for("\U0010fffd") is None
    assert not fonts._covers(dejavu.with_name("LastResortHE-Regular.ttf"), fonts.HANGUL)
    found = fonts.font_for(fonts.HANGUL)
    assert found is None or fonts._covers(found, fonts.HANGUL)


@pytest.mark.parametrize(
    ("text", "held"),
    [("사진 1", True), ("cat", True), ("صورة", False), ("รูป\u0e38", False), ("a\u202eb", False), ("", False)],
)
def test_scripts_that_need_shaping_are_not_drawn(text: str, held: bool) -> None:
    assert fonts.is_drawable(text) is held


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.5, "0.5"), (170_000, "170,000"), (2.5e6, "2.5M"), (12e9, "12B"), (3e12, "3T")],
)
def test_ticks_are_short(value: float, shown: str) -> None:
    assert plots.short_number(value) == shown
