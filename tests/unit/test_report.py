"""The report: every number from its table, hostile text inert, absent stages named, made again when something changed."""

import html as escaping
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from reportrun import HOSTILE, STAGES, make_run

from curation import pipeline
from curation.config import RunConfig
from curation.errors import MissingExtraError
from curation.report import duplicates, facts, flow, html, plots, training
from curation.report.entries import EntryCounts, entry_counts, examples, shares
from curation.stage import Record, read_record

VOID = {"meta", "img", "br", "link", "input"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return make_run(tmp_path_factory.mktemp("report") / "made-up")


@pytest.fixture(scope="module")
def records(config: RunConfig) -> dict[str, Record]:
    return pipeline.finished(config)


@pytest.fixture(scope="module")
def page(config: RunConfig, records: dict[str, Record]) -> str:
    return html.render(config, records)


class Reader(HTMLParser):
    """Checks that elements close, and collects what a browser would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "data", "action"}:
                self.loaded.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader


def test_the_page_is_whole_and_loads_and_runs_nothing(page: str) -> None:
    reader = read(page)
    assert not reader.tags["script"]
    assert not reader.tags["link"]
    assert not reader.handlers
    assert all(value.startswith(("#", "data:image/jpeg;base64,")) for value in reader.loaded)
    assert not re.search(r"@import|url\((?!#)", page)
    assert len(reader.ids) == len(set(reader.ids))


def test_alt_texts_and_entries_stand_as_text_and_nothing_else(page: str, records: dict[str, Record]) -> None:
    assert HOSTILE not in page
    assert str(escaping.escape(HOSTILE, quote=False))[:20] in page
    assert HOSTILE in " ".join(read(page).text)


def test_korean_carries_its_language_and_stays_out_of_the_curves(page: str) -> None:
    assert re.search(r'<td lang="ko"><bdi>항목\d+</bdi></td>', page)
    assert re.search(r'<li lang="ko"><bdi>글자 \d+', page)
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        assert not re.search("[\uac00-\ud7a3]", svg)


def test_every_ledger_stands_on_the_page_and_closes(page: str, records: dict[str, Record]) -> None:
    rows = [row["ledger"] for row in flow.stage_rows(records) if row["ledger"]]
    assert len(rows) == sum(len(record.ledgers) for record in records.values())
    for row in rows:
        assert row["in"] == row["out"] + row["merged"] + row["lost"]
        assert sum(item["rows"] for item in row["left"]) == row["merged"] + row["lost"]
        assert f">{row['in']:,}<" in page


def test_the_selected_counts_are_those_of_the_manifest_s_rows(
    config: RunConfig, records: dict[str, Record]
) -> None:
    rows = pq.read_table(records["manifest"].path / "manifest.parquet").to_pylist()
    for lang, counts in entry_counts(records, config.run.languages).items():
        named = Counter(
            key for row in rows if row["selected"] and row["lang"] == lang for key in row["entry_ids"]
        )
        assert counts.selected is not None
        assert {i: int(n) for i, n in enumerate(counts.selected) if n} == dict(named)


def test_a_caption_in_two_languages_counts_in_both(tmp_path: Path) -> None:
    config = make_run(tmp_path / "run")
    place = tmp_path / "run" / "manifest" / "manifest.parquet" / "00000.parquet"
    table = pq.read_table(place)
    before = entry_counts(pipeline.finished(config), config.run.languages)
    rows = table.to_pylist()
    row = next(row for row in rows if row["selected"] and row["lang"] == "en")
    row |= {"mixed_lang": "ko", "mixed_entry_ids": [59]}
    pq.write_table(table.from_pylist(rows, schema=table.schema), place)
    after = entry_counts(pipeline.finished(config), config.run.languages)
    assert np.array_equal(after["en"].selected, before["en"].selected)  # type: ignore[arg-type]
    assert after["ko"].selected[59] == before["ko"].selected[59] + 1  # type: ignore[index]


def test_shares_and_examples_agree_with_the_counts(config: RunConfig, records: dict[str, Record]) -> None:
    for lang, counts in entry_counts(records, config.run.languages).items():
        pool, t = counts.pool, counts.t
        assert t is not None
        share = shares(counts)[0]
        assert share["head"] == pytest.approx(pool[pool >= t].sum() / pool.sum())
        assert share["head"] + share["tail"] == pytest.approx(1)
        shown = examples(records["metadata"], counts, 7, 5)
        assert [row["pool"] for row in shown["head"]] == sorted(pool.tolist(), reverse=True)[:7]
        assert all(0 < row["pool"] < t for row in shown["tail"])
        assert len({row["entry"] for row in shown["tail"]}) == 7
        assert shown == examples(records["metadata"], counts, 7, 5)
        assert shown["tail"] != examples(records["metadata"], counts, 7, 6)["tail"], lang


def test_families_are_the_groups_counted_one_by_one(records: dict[str, Record]) -> None:
    groups = pq.read_table(records["dedup"].path / "groups").to_pylist()
    sizes = Counter(row["joined"] for row in groups)
    by_size, shown = duplicates.families(records["dedup"], 5)
    assert {row.name: row.families for row in by_size} == {
        str(size): number for size, number in sorted(Counter(sizes.values()).items())
    }
    largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:5]
    assert [(family.image_id, family.size) for family in shown] == largest
    assert all(family.members[0][0] == family.image_id for family in shown)


def test_a_family_shows_its_pictures_and_all_its_captions_are_counted(records: dict[str, Record]) -> None:
    _, shown = duplicates.families(records["dedup"], 3)
    duplicates.add_captions(records["dedup"], shown)
    duplicates.add_thumbnails(records["download"], shown)
    rows = pq.read_table(records["dedup"].path / "rows").to_pylist()
    for family in shown:
        assert family.num_captions == sum(row["image_id"] == family.image_id for row in rows)
        assert len(family.captions) <= duplicates.CAPTIONS
        assert len(family.thumbnails) == min(family.size, duplicates.PICTURES)
        assert all(len(item["uri"]) < 10_000 for item in family.thumbnails)
        assert [item["kept"] for item in family.thumbnails] == [True] + [False] * (len(family.thumbnails) - 1)


@pytest.mark.parametrize(
    "place",
    [
        {"raw_shard": "gone.tar", "raw_offset": 0, "bytes": 10},
        {"raw_shard": "0.tar", "raw_offset": 3, "bytes": 50},
        {"raw_shard": "0.tar", "raw_offset": 0, "bytes": duplicates.MAX_BODY + 1},
        {"raw_shard": None, "raw_offset": None, "bytes": None},
    ],
)
def test_a_picture_that_cannot_be_read_is_left_out(
    records: dict[str, Record], place: dict[str, object]
) -> None:
    assert duplicates.thumbnail(records["download"].path / "raw", place) is None


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the curves out: drawing takes most of a page's time."""
    monkeypatch.setattr(plots, "svg_of", lambda axes, name: "<svg></svg>")


@pytest.mark.parametrize("until", STAGES)
@pytest.mark.usefixtures("undrawn")
def test_a_run_that_stopped_anywhere_has_a_page_that_names_what_is_absent(
    config: RunConfig, records: dict[str, Record], until: str
) -> None:
    done = STAGES[: STAGES.index(until) + 1]
    page = html.render(config, {name: records[name] for name in done})
    read(page)
    absent = STAGES[len(done) :]
    assert ("Not run: " in page) == bool(absent)
    assert all(name in page for name in absent)


def test_an_empty_run_has_a_page(config: RunConfig) -> None:
    assert "No stage has run" in html.render(config, {})


@pytest.mark.parametrize("languages", [("en",), ("ko",), ("en", "ko", "ja")])
@pytest.mark.usefixtures("undrawn")
def test_runs_of_one_and_of_three_languages_have_pages(tmp_path: Path, languages: tuple[str, ...]) -> None:
    config = make_run(tmp_path / "run", languages=languages, pairs=40)
    page = html.run(config).path.joinpath(html.PAGE).read_text()
    read(page)
    assert "gap, points" not in page


def test_a_run_without_a_match_has_a_page(tmp_path: Path) -> None:
    config = make_run(tmp_path / "run", pairs=20)
    other = replace(config.balance, t={"fr": 2.0})
    nothing = replace(config, run=replace(config.run, languages=("fr",)), balance=other)
    read(html.render(nothing, pipeline.finished(config)))
    for path in (tmp_path / "run" / "count" / "counts").glob("*.parquet"):
        table = pq.read_table(path)
        zeros = table.set_column(
            table.schema.get_field_index("count"), table.schema.field("count"), [[0] * len(table)]
        )
        pq.write_table(zeros, path)
    read(html.render(config, pipeline.finished(config)))


def test_an_infinite_threshold_has_a_page_and_no_head(tmp_path: Path) -> None:
    config = make_run(tmp_path / "run", languages=("en",), pairs=40, t=float("inf"))
    page = html.render(config, pipeline.finished(config))
    assert "infinite" in page
    assert "0 are head" in page


@pytest.mark.usefixtures("undrawn")
def test_the_report_is_skipped_when_nothing_changed_and_made_again_when_a_stage_did(tmp_path: Path) -> None:
    config = make_run(tmp_path / "run", languages=("en",), pairs=40, until="manifest")
    first = html.run(config)
    assert not first.skipped
    assert html.run(config).skipped
    make_run(tmp_path / "run", languages=("en",), pairs=40)
    second = html.run(config)
    assert not second.skipped
    assert second.notes["stages"] != first.notes["stages"]
    fewer = replace(config, report=replace(config.report, max_entries=3))
    assert not html.run(fewer).skipped


def test_the_same_records_give_the_same_page(
    config: RunConfig, records: dict[str, Record], page: str
) -> None:
    assert html.render(config, records) == page


@pytest.mark.usefixtures("undrawn")
def test_another_run_stands_beside_ours(config: RunConfig, tmp_path: Path) -> None:
    make_run(tmp_path / "other-run", pairs=20)
    both = replace(config, report=replace(config.report, compare=tmp_path / "other-run"))
    page = html.render(both, pipeline.finished(config), read_record(tmp_path / "other-run" / "evaluate"))
    read(page)
    assert "other-run, ko" in page


def test_no_place_on_this_machine_stands_on_the_page(page: str, config: RunConfig) -> None:
    assert str(config.run.path.parent) not in page
    assert str(Path.cwd()) not in page


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch, config: RunConfig) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"bicurate\[report\]"):
        html.render(config, {})
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"bicurate\[report\]"):
        plots.new_axes()


COUNTS = stn.arrays(np.int64, st.integers(0, 400), elements=st.integers(0, 10_000))


@given(COUNTS, st.integers(1, 500))
def test_the_cumulative_curve_ends_at_the_sum_of_capped_counts(counts: np.ndarray, t: int) -> None:
    present = counts[counts > 0]
    for value, x, y in plots.cumulative(counts, [np.inf, t]):
        assert len(x) == len(y) <= plots.POINTS
        assert (np.diff(y) >= 0).all()
        if present.size:
            assert x[-1] == present.size
            assert y[-1] == np.minimum(present, value).sum()
            assert y[0] == min(present.min(), value)


@given(COUNTS)
def test_rank_points_fall_and_start_at_the_largest(counts: np.ndarray) -> None:
    ranks, values = plots.rank_points(counts)
    assert len(ranks) <= plots.POINTS
    assert (np.diff(values) <= 0).all()
    if len(ranks):
        assert (ranks[0], values[0]) == (1, counts.max())
        assert (ranks[-1], values[-1]) == ((counts > 0).sum(), counts[counts > 0].min())


@given(COUNTS, st.integers(1, 500))
def test_head_and_tail_part_the_entries_that_have_a_match(counts: np.ndarray, t: int) -> None:
    each = EntryCounts("en", float(t), counts, None, None)
    assert not (each.head & each.tail()).any()
    assert ((each.head | each.tail()) == (counts > 0)).all()


def test_a_resumed_metrics_file_gives_each_step_once(tmp_path: Path) -> None:
    lines = ['{"step": 10, "loss": 3}', '{"step": 20, "loss": 9}', '{"step": 20, "loss": 2}', '{"step": 3']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert [line["loss"] for line in training.read_metrics(tmp_path / "metrics.jsonl")] == [3, 2]
    assert training.read_metrics(tmp_path / "none.jsonl") == []


def test_numbers_are_written_as_people_read_them() -> None:
    assert [facts.number(value) for value in (None, 0, 1234567, 18.0, 1.8)] == [
        "-", "0", "1,234,567", "18", "1.8",
    ]  # fmt: skip
    assert [facts.threshold(value) for value in (None, "inf", 20_000.0)] == ["-", "infinite", "20,000"]
    assert facts.percent(0.1234) == "12.3 %"
