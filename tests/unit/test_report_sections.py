"""The page's sections: their numbers are those of the tables, alarms ring, hostile texts are inert, Hangul has a font or is named."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportrun import HOSTILE_HOST, NUM_ENTRIES, SIDE, STEERING, make_run

from curation import pipeline
from curation.config import ReportSection, RunConfig
from curation.domains import hosts_of
from curation.errors import ConfigError
from curation.report import (
    domains,
    duplicates,
    facts,
    flow,
    fonts,
    html,
    languages,
    pairs,
    plots,
    sections,
    sizes,
)
from curation.report.entries import by_source, entry_counts, sources_of, texts_of
from curation.report.languages import Step, alarms
from curation.report.scan import short_ids
from curation.stage import Record

LANGS = ("en", "ko")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    made = make_run(tmp_path_factory.mktemp("sections") / "made-up")
    return replace(made, report=ReportSection(max_examples=500))


@pytest.fixture(scope="module")
def records(config: RunConfig) -> dict[str, Record]:
    return pipeline.finished(config)


@pytest.fixture(scope="module")
def page(config: RunConfig, records: dict[str, Record]) -> str:
    return html.render(config, records)


def table(records: dict[str, Record], stage: str, name: str) -> list[dict[str, object]]:
    return list(pq.read_table(records[stage].path / name).to_pylist())


def test_matches_a_text_are_counted_as_one_by_one(records: dict[str, Record]) -> None:
    found = pairs.matches_a_text(records, LANGS)
    rows = {"pool": table(records, "match", "matches"), "selected": [
        row for row in table(records, "manifest", "manifest.parquet") if row["selected"]
    ]}  # fmt: skip
    for part, lines in rows.items():
        for lang in LANGS:
            lengths = [len(row["entry_ids"]) for row in lines if row["lang"] == lang]  # type: ignore[arg-type]
            matches = found[part][lang]
            assert matches.texts.tolist() == [lengths.count(n) for n in range(pairs.MOST + 1)]
            assert matches.total == sum(lengths)
            assert matches.median == str(int(np.percentile(lengths, 50, method="inverted_cdf")))
    pool = records["match"].notes["rows"]
    assert {lang: int(found["pool"][lang].texts.sum()) for lang in LANGS} == pool


def test_texts_with_more_matches_than_bars_stand_in_the_last(tmp_path: Path) -> None:
    matches = pairs.Matches()
    matches.add(np.array([50, pairs.MOST, 1]))
    assert (matches.texts[pairs.MOST], matches.texts[1], matches.total) == (2, 1, 71)
    assert matches.median == f"{pairs.MOST} or more"


def test_chances_before_the_download_are_those_of_the_wanted_pairs(records: dict[str, Record]) -> None:
    rows = [row for row in table(records, "balance", "wanted") if not row["held_out"]]
    probs = np.array([row["keep_prob"] for row in rows])
    found = pairs.wanted_chances(records["balance"])
    assert found.kept.sum() == len(rows)
    assert found.kept[-1] == (probs == 1).sum()
    assert found.kept.sum() + found.lost.sum() == pytest.approx((1 / probs).sum())
    ledger = flow.ledger_of(records, "balance", "pairs")
    assert ledger is not None
    assert found.lost.sum() == pytest.approx(ledger["dropped"]["balanced_out"], abs=4 * found.variance**0.5)


def test_chances_of_the_selection_are_exact_and_its_size_near_what_was_expected(
    records: dict[str, Record],
) -> None:
    found = pairs.survivor_chances(records["manifest"])
    notes = records["manifest"].notes["captions"]
    assert found.kept.sum() == sum(n for key, n in notes.items() if key.endswith("/selected"))
    assert (found.kept + found.lost).sum() == sum(n for key, n in notes.items() if key.startswith("train/"))
    toss = pairs.expectation(found, records["balance-survivors"].notes["expected_pairs"])
    assert toss is not None
    assert toss["errors"] < 4
    wrong = pairs.expectation(found, found.kept.sum() + 5 * found.variance**0.5)
    assert wrong is not None
    assert wrong["errors"] == pytest.approx(5)
    assert pairs.expectation(found, None) is None


def test_a_selection_with_caps_has_no_expectation(config: RunConfig, records: dict[str, Record]) -> None:
    second = records["balance-survivors"]
    capped = Record(second.path, second.data | {"config": second.data["config"] | {"max_per_domain": 3}})
    assert sections._chances(records)[1]["toss"] is not None
    assert sections._chances(records | {"balance-survivors": capped})[1]["toss"] is None


def test_domains_are_counted_as_one_by_one(records: dict[str, Record]) -> None:
    found = domains.domains(records, 20)
    assert found is not None
    before = Counter(urlsplit(str(row["url"])).netloc for row in table(records, "match", "matches"))
    after = Counter(
        urlsplit(str(row["url"])).netloc
        for row in table(records, "manifest", "manifest.parquet")
        if row["selected"]
    )
    assert {row["domain"]: row["pairs"] for row in found["rows"]} == before
    assert {row["domain"]: row["selected"] for row in found["rows"]} == {name: after[name] for name in before}
    assert sum(row["before"] for row in found["rows"]) == pytest.approx(1)
    assert (found["pairs"], found["selected"]) == (before.total(), after.total())
    assert HOSTILE_HOST in before


def test_hosts_of_a_batch_are_those_of_its_addresses() -> None:
    urls = [
        "http://a.b/x",
        "https://www.a.b:81?q=http://c.d",
        "http://u:p@a.b#f",
        "x",
        "",
        "http://[::1]:8/",
        "HTTP://E.F/",
    ]
    batch = pa.record_batch({"url": pa.array(urls * 3)})
    assert domains._hosts(batch) == Counter(hosts_of(pa.array(urls * 3)).to_pylist())


def test_a_mixed_text_is_one_pair_of_its_domain(tmp_path: Path) -> None:
    config = make_run(tmp_path / "run", languages=("en",), pairs=20, until="match")
    place = next((tmp_path / "run" / "match" / "matches").glob("*.parquet"))
    rows = pq.read_table(place)
    mixed = [row | {"mixed": True} for row in rows.to_pylist()]
    pq.write_table(pa.Table.from_pylist(mixed + mixed, schema=rows.schema), place)
    found = domains.domains(pipeline.finished(config), 20)
    assert found is not None
    assert found["pairs"] == 20


def test_large_hosts_are_exact_though_few_names_are_held(
    records: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = domains.domains(records, 1)
    monkeypatch.setattr(domains.add_bounded, "__defaults__", (1,))
    bounded = domains.domains(records, 1)
    assert whole is not None
    assert bounded is not None
    assert bounded["rows"] == whole["rows"]
    assert (whole["whole"], bounded["whole"]) == (True, False)


@given(
    st.lists(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(1, 50))),
    st.integers(1, 8),
)
def test_no_name_with_more_than_its_part_leaves_a_bounded_count(
    batches: Sequence[dict[str, int]], limit: int
) -> None:
    held: dict[str, int] = {}
    taken = sum(domains.add_bounded(held, batch, limit) for batch in batches)
    truth: Counter[str] = Counter()
    for batch in batches:
        truth.update(batch)
    assert len(held) <= limit
    assert taken * (limit + 1) <= truth.total()
    for name, count in truth.items():
        assert count - taken <= held.get(name, 0) <= count


def test_languages_are_those_of_the_tables(records: dict[str, Record]) -> None:
    found = languages.steps(records, LANGS)
    lang_of = {row["pair_id"]: row["lang"] for row in table(records, "match", "matches")}
    wanted = Counter(lang_of[row["pair_id"]] for row in table(records, "balance", "wanted"))
    assert found[0].rows == records["match"].notes["rows"]
    assert found[1].rows == wanted
    assert found[2].rows == Counter(row["lang"] for row in table(records, "dedup", "rows"))
    assert sum(found[-1].rows.values()) == sum(
        row["selected"] is True for row in table(records, "manifest", "manifest.parquet")
    )


def test_languages_of_the_wanted_are_as_noted_where_they_are(records: dict[str, Record]) -> None:
    balance = records["balance"]
    noted = Record(
        balance.path, balance.data | {"notes": balance.notes | {"wanted_texts": {"en": 7, "xx": 3}}}
    )
    step = languages.steps(records | {"balance": noted}, LANGS)[1]
    assert (step.rows, step.sampled) == ({lang: 7 if lang == "en" else 0 for lang in LANGS}, 1.0)


def test_of_many_wanted_pairs_a_part_is_looked_at_and_said(
    records: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(languages, "HELD_IDS", 100)
    step = languages.steps(records, LANGS)[1]
    rows = table(records, "balance", "wanted")
    bound = int(step.sampled * 2**64)
    assert sum(step.rows.values()) == sum(int(str(row["pair_id"])[:16], 16) <= bound for row in rows)
    assert step.sampled == pytest.approx(100 / len(rows))
    assert languages.table([step], LANGS)[0]["cells"][0]["rows"] is None


def test_an_alarm_rings_above_the_factor_alone() -> None:
    steps = [
        Step("in", {"en": 50, "ko": 50}),
        Step("mid", {"en": 60, "ko": 40}),
        Step("out", {"en": 75, "ko": 25}),
    ]
    (alarm,) = alarms(steps, LANGS, 1.99)
    assert (alarm["lang"], alarm["factor"], alarm["step"], alarm["at"]) == ("ko", 2.0, "out", "out")
    assert alarms(steps, LANGS, 2.0) == []
    (gone,) = alarms([*steps, Step("end", {"en": 9, "ko": 0})], LANGS, 1.5)
    assert (gone["factor"], gone["share"]) == (float("inf"), 0.0)
    assert (
        alarms([], LANGS, 1.5)
        == alarms(steps[:1], LANGS, 1.5)
        == alarms([Step("none", {})] * 2, LANGS, 1.5)
        == []
    )


def test_the_page_says_whether_a_language_fell_behind(
    config: RunConfig, records: dict[str, Record], page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no alarm" in page
    assert 'class="alarm"' not in page
    monkeypatch.setattr(plots, "svg_of", lambda axes, name: "<svg></svg>")
    sealed = records["manifest"]
    notes = sealed.notes | {"captions": {"train/en/selected": 90, "train/ko/selected": 10}}
    fewer = records | {"manifest": Record(sealed.path, sealed.data | {"notes": notes})}
    ringing = html.render(config, fewer)
    assert "Korean falls behind" in ringing
    patient = replace(config, report=ReportSection(language_alarm=10))
    assert 'class="alarm"' not in html.render(patient, fewer)
    with pytest.raises(ConfigError, match=r"report\.language_alarm"):
        ReportSection(language_alarm=1)


def test_a_run_that_extends_earlier_ones_says_which_counts_are_sums(
    config: RunConfig, records: dict[str, Record]
) -> None:
    count = records["count"]
    notes = count.notes | {"earlier": [{"run": "first-crawl"}]}
    counts = entry_counts(records, LANGS)
    assert not any("first-crawl" in said for said in facts.limits(config, records, counts))
    extended = records | {"count": Record(count.path, count.data | {"notes": notes})}
    assert any("first-crawl" in said for said in facts.limits(config, extended, counts))


def test_sizes_add_up_to_the_tables(records: dict[str, Record]) -> None:
    found = sizes.sizes(records)
    assert found is not None
    notes = records["manifest"].notes["captions"]
    selected = sum(n for key, n in notes.items() if key.endswith("/selected"))
    assert found["files"] == len(table(records, "embed", "descriptors"))
    for rows in (found["sides"], found["shapes"]):
        assert sum(row["files"] for row in rows) == found["files"]
        assert sum(row["captions"] for row in rows) == found["captions"] == selected
    assert found["sides"][0]["files"] == found["files"]
    assert sizes.SIDES[1] > SIDE


@given(st.lists(st.integers(1, 5000), min_size=1))
def test_each_size_lies_in_the_bar_that_names_it(values: list[int]) -> None:
    edges = [*sizes.SIDES, np.inf]
    counted = sizes._counted(np.array(values, dtype=np.float64), sizes.SIDES)
    assert counted.tolist() == [sum(low <= value < high for value in values) for low, high in pairwise(edges)]


def test_sources_part_the_matches(config: RunConfig, records: dict[str, Record]) -> None:
    for lang, counts in entry_counts(records, LANGS).items():
        rows = by_source(counts, sources_of(records["metadata"], lang, NUM_ENTRIES))
        assert {row["source"] for row in rows} == {"wordnet", "unigram"}
        assert sum(row["pool"] for row in rows) == counts.pool.sum()
        assert sum(row["selected"] for row in rows) == counts.selected.sum()  # type: ignore[union-attr]
        assert sum(row["entries"] for row in rows) == NUM_ENTRIES
        head = sum(row["head"] * row["pool"] for row in rows)
        assert head == pytest.approx(counts.pool[counts.head].sum())
        assert texts_of(records["metadata"], lang, [7, 0]) == [
            entry["entry"]
            for key in (7, 0)
            for entry in table(records, "metadata", "entries")
            if entry["lang"] == lang and entry["entry_id"] == key
        ]


def test_costs_are_the_records_seconds(records: dict[str, Record], page: str) -> None:
    rows = flow.costs(records)
    assert [row["stage"] for row in rows] == list(records)
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    for row in rows:
        assert row["seconds"] == records[row["stage"]].data["seconds"]
        if row["rate"]:
            assert row["rate"] * row["seconds"] == pytest.approx(records[row["stage"]].ledgers[0]["in"])


def test_families_are_the_same_in_one_pass_and_in_many(
    records: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = duplicates.families(records["dedup"], 6, a_size=2, seed=5)
    monkeypatch.setattr(duplicates, "SLICE_ROWS", 7)
    assert duplicates.families(records["dedup"], 6, a_size=2, seed=5) == whole
    by_size, _ = whole
    assert sum(row.pictures for row in by_size) == len(table(records, "dedup", "groups"))
    assert all(len(row.examples) <= 2 for row in by_size)
    assert all(family.size > 1 for row in by_size for family in row.examples)
    other = duplicates.families(records["dedup"], 6, a_size=2, seed=6)[0]
    assert [row.examples for row in other] != [row.examples for row in by_size]


def test_short_ids_are_the_first_digits() -> None:
    ids = ["ffffffffffffffff00", "0000000000000001ab", "8" * 64]
    assert short_ids(pa.array(ids)).tolist() == [int(key[:16], 16) for key in ids]
    assert short_ids(pa.array([], pa.string())).size == 0


def test_steering_texts_are_written_out(page: str) -> None:
    for letter in STEERING:
        if ord(letter) < 32 or ord(letter) > 126:
            assert letter not in page
    assert "a[U+202E]gnp.exe[U+2066] &#34;quoted&#34; &#39;single&#39; [U+0000] [U+001B][31m end" in page


def test_a_host_that_is_markup_stands_as_text(page: str) -> None:
    assert HOSTILE_HOST not in page
    assert "a&#34;&gt;&lt;script&gt;.example.org" in page


def test_without_a_font_hangul_is_named_on_the_page_and_stays_out_of_the_curves(
    config: RunConfig, records: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl

    dejavu = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    monkeypatch.setattr(
        fonts, "_font_for", lambda letters: dejavu if fonts._covers(dejavu, letters) else None
    )
    page = html.render(config, records)
    assert "has Hangul: Korean entries stand in the" in page
    assert re.search(r'has its letters: <span lang="ko"><bdi>항목', page)
    context = sections._entries_of(config, records["metadata"], entry_counts(records, LANGS)["ko"])
    assert context["named"]
    assert not context["drawn"]


def test_entries_are_drawn_as_outlines_and_marked(records: dict[str, Record]) -> None:
    pool = np.array([90, 30, 4], dtype=np.int64)
    plain = plots.rank_plot(pool, None, 20.0, "en")
    drawn = plots.rank_plot(pool, None, 20.0, "en", {1: "$x^2$", 2: "cat"})
    assert "cat" not in drawn
    assert "$" not in drawn
    assert drawn.count("<path") > plain.count("<path")
