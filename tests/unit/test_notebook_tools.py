"""What the notebooks stand on: samples that hang on keys alone, figures without boxes, neighbours as the search finds them."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reportrun import make_run

from curation import pipeline
from curation.dedup.neighbours import near_pairs_oracle
from curation.errors import StageError
from curation.ids import coin
from curation.report import fonts, notebook
from curation.report.pictures import Described, bodies, contact_sheet, cosine, described, nearest

KEYS = [f"{number % 300:03d}" for number in range(600)]  # each twice


def write(folder: Path, keys: list[str], files: int) -> Path:
    folder.mkdir()
    for number in range(files):
        table = pa.table({"pair_id": keys[number::files], "value": list(range(len(keys)))[number::files]})
        pq.write_table(table, folder / f"part-{number}.parquet")
    return folder


def test_a_small_table_is_drawn_whole(tmp_path: Path) -> None:
    frame = notebook.drawn(write(tmp_path / "t", KEYS, 2), ["value"], 1_000)
    assert len(frame) == len(KEYS)
    assert frame.attrs["share"] == 1
    assert frame.pair_id.is_monotonic_increasing


def test_a_sample_is_the_same_in_any_files_and_keeps_equal_keys_together(tmp_path: Path) -> None:
    drawn = [notebook.drawn(write(tmp_path / str(n), KEYS, n), [], 150) for n in (1, 3)]
    assert drawn[0].pair_id.tolist() == drawn[1].pair_id.tolist()
    assert set(drawn[0].pair_id.value_counts()) == {2}
    assert drawn[0].attrs["share"] == 0.25
    assert 0 < len(drawn[0]) < len(KEYS)


def test_a_table_that_is_not_there_is_empty(tmp_path: Path) -> None:
    frame = notebook.drawn(tmp_path / "none", ["value"], 10)
    assert list(frame.columns) == ["pair_id", "value"]
    assert frame.empty


def test_a_run_without_the_stages_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run", pairs=8, until="count")
    monkeypatch.setenv(notebook.RUN, str(tmp_path / "run"))
    assert list(notebook.languages_of(notebook.open_run("count"))) == ["en", "ko"]
    assert "run run: extract, metadata, match, count" in capsys.readouterr().out
    with pytest.raises(StageError, match=r"no finished balance.*curate demo.*BICURATE_RUN"):
        notebook.open_run("count", "balance")


def test_a_label_is_drawn_with_letters_or_not_at_all() -> None:
    import matplotlib as mpl

    with mpl.rc_context():
        notebook.set_style()
        assert notebook.label("cat") == "cat"
        assert notebook.label("\uace0\uc591\uc774") == (
            "?" if fonts.hangul_font() is None else "\uace0\uc591\uc774"
        )
        assert notebook.label("\U00012000") == "?"  # cuneiform
        assert notebook.label("\u0634\u0645\u0633") == "?"  # joined, and from the right
        assert notebook.label("$a$ and $b") == r"\$a\$ and \$b"
        assert len(notebook.label("x" * 99, 10)) == 10


def test_a_letter_without_a_font_is_an_error_and_no_box() -> None:
    import warnings

    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(), warnings.catch_warnings():
        notebook.set_style()
        figure = Figure()
        figure.text(0.1, 0.1, "\U00012000")
        with pytest.raises(UserWarning, match="missing"):
            FigureCanvasAgg(figure).draw()


def test_hostile_texts_are_made_visible_in_tables() -> None:
    frame = notebook.as_table([{"text": "a\u202eb\n" + "x" * 500, "n": 1}])
    assert "U+202E" in frame.text.iloc[0]
    assert "\n" not in frame.text.iloc[0]
    assert len(frame.text.iloc[0]) <= notebook.TEXT_CHARS


def some_codes(num: int, views: int = 4, dimension: int = 12) -> np.ndarray:
    flat = [int(255 * coin(f"{n}", 0, "codes")) - 127 for n in range(num * views * dimension)]
    codes = np.array(flat, np.int8).reshape(num, views, dimension)
    codes[num // 2] = codes[0]  # a copy
    codes[num - 1] = 0  # a plain picture
    return codes


def test_nearest_pictures_are_those_of_the_exhaustive_search() -> None:
    codes = some_codes(40)
    pictures = Described([str(n) for n in range(40)], np.ones((40, 2), np.int64), codes, 4, 1.0)
    other, best = nearest(pictures, range(40))
    pairs = near_pairs_oracle(codes, 0.001)
    for n in range(40):
        mine = (pairs.first == n) | (pairs.second == n)
        assert best[n] == pytest.approx(pairs.cosine[mine].max(initial=0.0), abs=1e-5)
        if n != 39:
            assert other[n] != n
            assert cosine(codes[n], codes[other[n]]) == pytest.approx(best[n], abs=1e-5)
    assert (other[0], other[20]) == (20, 0)
    assert best[39] == 0.0


def test_one_picture_has_no_neighbour() -> None:
    pictures = Described(["a"], np.ones((1, 2), np.int64), some_codes(1), 4, 1.0)
    assert nearest(pictures, [0])[1].tolist() == [0.0]


def test_bodies_and_codes_are_read_by_image_id(tmp_path: Path) -> None:
    records = pipeline.finished(make_run(tmp_path / "run", pairs=20))
    pictures = described(records["embed"], 1_000)
    assert pictures.share == 1
    assert pictures.codes.shape == (len(pictures.ids), 16, 81)
    found = bodies(records["download"], [*pictures.ids[:3], "0" * 64])
    assert sorted(found) == sorted(pictures.ids[:3])
    assert all(Image.open(io.BytesIO(body)).size == (24, 24) for body in found.values())
    for shard in (records["download"].path / "raw").iterdir():
        shard.unlink()
    assert bodies(records["download"], pictures.ids) == {}


def test_a_sheet_shows_what_is_there_and_frames_for_the_rest() -> None:
    picture = Image.new("RGB", (300, 200), (200, 0, 0))
    rows = {
        "one": [(picture, "kept"), (b"no picture", "0.9"), (None, "")],
        "two": [],
        "three": [(picture, "x" * 200)],
    }
    sheet = Image.open(io.BytesIO(contact_sheet(rows, side=50)))
    assert sheet.format == "JPEG"
    assert sheet.width == 3 * 56 + 6
    red, green, _ = sheet.convert("RGB").getpixel((6 + 25, 13 + 4 + 25))  # type: ignore[misc]
    assert red > 150 > green
    assert Image.open(io.BytesIO(contact_sheet({}))).width > 0
