"""The large sources of the entry lists on Spark: n-grams of Wikipedia dumps and views of titles.

A task reads one range of a dump as a stream of pages, or one file of page views, and yields partial counts whenever its memory is
full; Spark sums them. Thresholds, PMI and shares are applied in Spark: what comes to the driver is bounded by the quotas.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from curation.config_metadata import Cuts, MetadataSection
from curation.errors import ConfigError, Reason
from curation.spark.batches import map_batches
from curation.spark.stage import as_uri
from curation.spark.sums import COUNTS, Measure, TaskFunction, discard, measure_sums, read_sums, sum_tasks
from curation.stage import Ledger, Tally
from curation.text import normalise
from metadata.entries import Entry
from metadata.merge import share_of, unfit
from metadata.ngrams import NgramCounter, largest_pmi, pmi
from metadata.pageviews import read_views
from metadata.wikipedia import DumpRange, dump_ranges, plain_text, read_pages

KINDS = {1: "unigram", 2: "bigram"}  # by the order of an n-gram
UNITS = {"unigram": "unigrams", "bigram": "bigrams", "title": "titles"}
MAX_TITLES = 500_000  # distinct titles a task holds, about 100 MB
MARGIN = 0.001  # bits, for the rounding of floats where integers decide later
MAX_BITS = 1_000.0  # above any PMI, and a power that a float holds
MAX_ROWS = 5_000_000  # entries of one source that the driver takes
_SCORED = pa.schema(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)
_PAIRS = ("text", "count", "first", "second")


@dataclass(frozen=True)
class Task:
    """What one task reads: a range of a language's dump, or a file of page views."""

    lang: str = ""
    part: DumpRange | None = None
    views: str = ""


def plan_tasks(
    section: MetadataSection, languages: Sequence[str], views: Sequence[str], *, streams_per_range: int = 50
) -> list[Task]:
    """Return the tasks: the ranges of the dumps, then the files of page views. Warns of dumps that cannot be shared out.

    streams_per_range: bzip2 streams of a multistream dump, of a hundred pages each, that one task reads.
    Raises InputError where a dump or its index cannot be read.
    """
    parts = [
        Task(lang, part)
        for lang in languages
        if "wikipedia" in section.sources(lang)
        for part in dump_ranges(section.wikipedia[lang], streams_per_range=streams_per_range)
    ]
    _warn_of_whole([task.part.origin for task in parts if task.part and not task.part.indexed])
    return parts + [Task(views=address) for address in views]


def _warn_of_whole(dumps: Sequence[str]) -> None:
    """Warn, once for all of them, of dumps that one task reads alone."""
    if dumps:
        named = ", ".join(dumps[:5]) + (", ..." if len(dumps) > 5 else "")
        warn(
            f"no index lies beside {named}: one task reads each such dump from end to end, however many cores there are. "
            "For a whole Wikipedia give *-pages-articles-multistream.xml.bz2 instead, and put "
            "*-pages-articles-multistream-index.txt.bz2, which is published with it, into the same folder"
        )


def read_tasks(
    tasks: Sequence[Task], projects: Mapping[str, str], min_hour_views: Mapping[str, int]
) -> TaskFunction:
    """Return the function that yields the partial counts of a task by its number.

    projects: the language of each project code in the page views. min_hour_views: by language, see `Cuts`.
    """

    def read(number: int, tally: Tally) -> Iterator[pa.RecordBatch]:
        task = tasks[number]
        if task.part is not None:
            return _ngrams(task.lang, task.part, tally)
        return _titles(task.views, projects, min_hour_views, tally)

    return read


def _ngrams(lang: str, part: DumpRange, tally: Tally) -> Iterator[pa.RecordBatch]:
    counter = NgramCounter(lang)
    for page in read_pages(part, tally):
        counter.add(plain_text(page.text))
        if counter.full:
            yield from _as_counts(counter.drain())
    yield from _as_counts(counter.drain())


def _as_counts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            order = batch.column("order")[0].as_py()  # one order a batch
            columns = [
                pa.repeat(KINDS[order], batch.num_rows),
                *(batch.column(n) for n in ("lang", "ngram", "count")),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=COUNTS)


def _titles(
    address: str, projects: Mapping[str, str], min_hour_views: Mapping[str, int], tally: Tally
) -> Iterator[pa.RecordBatch]:
    views: dict[tuple[str, str], int] = {}
    for lang, title, number in read_views(address, projects, tally):
        if number < min_hour_views[lang]:
            tally.add(f"lines_below_min_hour_views/{lang}", 1)
            continue
        key = (lang, normalise(title))
        views[key] = views.get(key, 0) + number
        if len(views) >= MAX_TITLES:
            yield _views_batch(views)
            views = {}
    if views:
        yield _views_batch(views)


def _views_batch(views: Mapping[tuple[str, str], int]) -> pa.RecordBatch:
    langs, titles = zip(*views, strict=True)
    columns = [["title"] * len(views), list(langs), list(titles), list(views.values())]
    return pa.RecordBatch.from_arrays(
        [pa.array(values, kind.type) for values, kind in zip(columns, COUNTS, strict=True)], schema=COUNTS
    )


@dataclass
class LargeSources:
    """The sums of all dumps and page views of a run, and what of them the lists may take."""

    spark: SparkSession
    place: Path
    """A directory for the sums, which are removed in the end."""
    section: MetadataSection
    tally: Tally = field(default_factory=Tally)
    """Pages and lines, as the tasks counted them."""
    notes: dict[str, dict[str, dict[str, float | int]]] = field(default_factory=dict)
    """By language and source: distinct texts that were seen, and what the cuts left of them."""
    sizes: dict[tuple[str, str], Measure] = field(default_factory=dict)
    """Of the sums, by kind and language."""

    def read(self, tasks: Sequence[Task], languages: Sequence[str], *, partitions: int | None = None) -> None:
        """Sum what all tasks count. partitions: how many Spark tasks share the work; the sums do not depend on it."""
        least = {lang: self.section.cuts(lang).title_min_hour_views for lang in languages}
        reader = read_tasks(tuple(tasks), self.section.projects(languages), least)
        self.tally = sum_tasks(self.spark, reader, len(tasks), self.place / "sums", partitions=partitions)
        self.sizes = measure_sums(self.spark, self.place / "sums")

    def unigrams(self, lang: str, cuts: Cuts, known: int, ledger: Ledger) -> list[Entry]:
        """Return the unigrams that may enter a list, and count the others into the ledger. known: entries it has already."""
        sums = self._sums("unigram", lang)
        scored = sums.where(F.col("count") >= cuts.unigram_min_count).select("text", _count_as_score())
        bound = _bound(cuts.unigram_max, known)
        return self._take(lang, "unigram", scored, ledger, top=cuts.unigram_top, bound=bound)

    def titles(self, lang: str, cuts: Cuts, known: int, ledger: Ledger) -> list[Entry]:
        """The same for titles."""
        sums = self._sums("title", lang)
        scored = sums.where(F.col("count") >= cuts.title_min_views).select("text", _count_as_score())
        bound = _bound(cuts.title_max, known)
        return self._take(lang, "title", scored, ledger, top=cuts.title_top, bound=bound)

    def bigrams(self, lang: str, cuts: Cuts, known: int, ledger: Ledger) -> list[Entry]:
        """The same for bigrams, whose score is their pointwise mutual information."""
        sums = self._sums("bigram", lang)
        unigrams = self._sums("unigram", lang)
        total = self._size("unigram", lang).total
        reach = largest_pmi(total, max(1, cuts.bigram_min_count))
        if reach < cuts.bigram_min_pmi:
            warn(
                f"no bigram of {lang!r} can enter: of {total:,} words, one that occurs {cuts.bigram_min_count} times reaches "
                f"{reach:.1f} bits, metadata.bigram_min_pmi.{lang} asks for {cuts.bigram_min_pmi:g}"
            )
        frequent = sums.where(F.col("count") >= cuts.bigram_min_count)
        scored = scored_pairs(frequent, unigrams, total, cuts.bigram_min_pmi)
        bound = _bound(cuts.bigram_max, known)
        self.notes.setdefault(lang, {})["words"] = {"total": total}
        return self._take(lang, "bigram", scored, ledger, top=1.0, bound=bound)

    def discard(self) -> None:
        """Remove the sums."""
        discard(self.place)

    def _sums(self, kind: str, lang: str) -> DataFrame:
        return read_sums(self.spark, self.place / "sums", kind).where(F.col("lang") == lang)

    def _size(self, kind: str, lang: str) -> Measure:
        return self.sizes.get((kind, lang), Measure())

    def _take(
        self, lang: str, kind: str, scored: DataFrame, ledger: Ledger, *, top: float, bound: int
    ) -> list[Entry]:
        """Write what the cuts leave, take its best, and count the rest by reason.

        top: share of the distinct texts before any cut that may enter; bound: most that may, 0 for no bound.
        """
        seen = self._size(kind, lang).texts
        place = self.place / f"{kind}-{lang}"
        max_chars = self.section.max_chars
        map_batches(scored, lambda batches: _judged(batches, max_chars), _SCORED).write.parquet(as_uri(place))
        judged = self.spark.read.parquet(as_uri(place))
        reasons = {row["reason"]: int(row["count"]) for row in judged.groupBy("reason").count().collect()}
        fit = reasons.pop(None, 0)
        share = min(fit, share_of(seen, top))
        taken = min(share, bound or share)
        if taken > MAX_ROWS:
            raise ConfigError(
                f"{taken:,} {UNITS[kind]} of {lang!r} pass the cuts, at most {MAX_ROWS:,} can: set metadata.{kind}_max.{lang}"
            )
        dropped = {Reason(name): rows for name, rows in reasons.items()}
        dropped |= {Reason.BELOW_CUT: seen - sum(reasons.values()) - share, Reason.OVER_QUOTA: share - taken}
        ledger.rows_in += sum(dropped.values())
        for reason, rows in dropped.items():
            ledger.dropped[reason] = ledger.dropped.get(reason, 0) + rows
        self.notes.setdefault(lang, {})[kind] = {"seen": seen, "fit": fit, "taken": taken}
        best = judged.where(F.col("reason").isNull()).orderBy(F.desc("score"), "text").limit(taken).toArrow()
        return [
            Entry(lang, text, kind, score)
            for text, score in zip(best["text"].to_pylist(), best["score"].to_pylist(), strict=True)
        ]


def warn(text: str) -> None:
    """Say loudly what a person would otherwise find out from a list that lacks something."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _count_as_score() -> Column:
    return F.col("count").cast("double").alias("score")


def _bound(quota: int, known: int) -> int:
    """Return how many of a source's best are enough: of those, `known` may be in the list already. 0 for no bound."""
    return quota + known if quota else 0


def scored_pairs(bigrams: DataFrame, unigrams: DataFrame, total: int, min_pmi: float) -> DataFrame:
    """Return (text, score) of the bigrams whose pointwise mutual information is at least `min_pmi`.

    bigrams, unigrams: lang, text, count, of one language. total: occurrences of all unigrams. A pair occurs no more often than
    either of its words, so a word that occurs more than total / 2^min_pmi times has no pair that passes: only the others are
    joined. These powers and the quotient are floats with a margin; `metadata.ngrams.pmi` decides.
    """
    odds = 2.0 ** min(min_pmi - MARGIN, MAX_BITS)
    words = unigrams.where(F.col("count") <= total / odds)
    parts = F.split("text", " ", 2)
    pairs = bigrams.select("text", "count", parts[0].alias("word"), parts[1].alias("other"))
    firsts = words.select(F.col("text").alias("word"), F.col("count").alias("first"))
    seconds = words.select(F.col("text").alias("other"), F.col("count").alias("second"))
    ratio = F.col("count").cast("double") * total / F.col("first").cast("double") / F.col("second")
    joined = pairs.join(firsts, "word").join(seconds, "other").where(ratio >= odds).select(*_PAIRS)

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([_SCORED.field("text"), _SCORED.field("score")])
        for batch in batches:
            pair, first, second = (batch.column(name).to_numpy() for name in _PAIRS[1:])
            scores = pmi(pair, first, second, total)
            scored = pa.RecordBatch.from_arrays([batch.column("text"), pa.array(scores)], schema=schema)
            yield scored.filter(pa.array(scores >= min_pmi))

    return map_batches(joined, score, pa.schema([_SCORED.field("text"), _SCORED.field("score")]))


def _judged(batches: Iterator[pa.RecordBatch], max_chars: int) -> Iterator[pa.RecordBatch]:
    """Add why an entry may not stand in any list, null where it may."""
    for batch in batches:
        reasons = [unfit(text, max_chars) for text in batch.column("text").to_pylist()]
        columns = [batch.column("text"), batch.column("score"), pa.array(reasons, pa.string())]
        yield pa.RecordBatch.from_arrays(columns, schema=_SCORED)
