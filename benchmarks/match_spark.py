"""Pairs a second on Spark beside the same functions in a plain loop, and where the rest goes.

    python benchmarks/match_spark.py [--shared ../shared] [--pairs 200000] [--rounds 3]

Distinct texts, half of them Korean, from `benchmarks/match.py`, lie in Parquet as table pairs. A plain loop in one process reads
them with pyarrow and hands each 10,000 rows to the function; Spark (`local[cores]`) reads the same files and hands them to the
same function by mapInArrow. Functions, each of which does more than the one before:

through   the batch as it came: reading and the way to Python and back
matched   the entries of the text in its language, by script: reading and matching without telling the language
step      `PairMatcher.match_pairs`, all that the stage does to a batch: cleaning, the language, matching, rows

On Spark the first two and `step` go to a sink that drops all; `written` is the stage's own way with `step`: rows sorted, written,
read back and hashed. The figure is Spark's speed over the plain loop's times the cores: a plain loop that scales perfectly and
pays nothing for Spark is 1. The first round warms workers and matchers and does not count; the best of the others does.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from machine import machine, versions
from match import REPOSITORY, distinct_texts, list_entries
from pyspark.sql import DataFrame

from curation.config import MatchSection, RunConfig, SparkSection
from curation.ids import pair_id
from curation.language import language_identifier
from curation.match import READ, PairMatcher, load_matcher
from curation.schemas import TABLES
from curation.spark.batches import map_batches, plain
from curation.spark.session import get_session
from curation.spark.stage import read_table, write_counted
from curation.stage import OpenStage, StageSpec, Tally
from curation.text import has_hangul
from metadata.entries import Entry, EntryList, save_list

WANTED_SHARE = 0.6
LANGUAGES = ("en", "ko")
BATCH_ROWS = 10_000  # Spark's own
FILES = 8
MATCHED = pa.schema(
    [pa.field("pair_id", pa.string()), TABLES["matches"].field("entry_ids").remove_metadata()]
)

Function = Callable[[pa.RecordBatch], pa.RecordBatch]


def main() -> int:
    """Run the benchmark; return 0 where `step` reaches the wanted share."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _write_pairs(arguments.shared, work, arguments.pairs)
        lists = {lang: _freeze(arguments.shared, lang, work) for lang in LANGUAGES}
        cores = os.cpu_count() or 1
        spark = get_session(SparkSection(master=f"local[{cores}]"), name="benchmark")
        pairs = read_table(spark, work, "pairs").select(*READ)
        ways = _ways(work, lists, pairs)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.rounds + 1):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
        spark.stop()
    speeds = {name: arguments.pairs / min(found[1:]) for name, found in seconds.items()}
    result = _result(speeds, cores, arguments)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    _show(result)
    return 0 if result["share"]["step"] >= WANTED_SHARE else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--pairs", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results/match_spark.json")
    return parser.parse_args()


def _write_pairs(shared: Path, work: Path, number: int) -> None:
    both = [distinct_texts(shared, lang, number // 2) for lang in LANGUAGES]
    texts = [text for pair in zip(*both, strict=True) for text in pair]
    urls = [f"https://example.org/{n}.jpg" for n in range(len(texts))]
    keys = [pair_id(url, text) for url, text in zip(urls, texts, strict=True)]
    constants = {"text_source": "alt", "page_url": "https://example.org/", "origin": "a.wat.gz", "crawl": "c"}
    columns = {"pair_id": keys, "url": urls, "text": texts}
    columns |= {name: [value] * len(texts) for name, value in constants.items()}
    table = pa.table(columns, schema=plain(TABLES["pairs"]))
    (work / "pairs").mkdir()
    rows = -(-len(texts) // FILES)
    for n in range(FILES):
        part = table.slice(n * rows, rows)
        pq.write_table(part, work / "pairs" / f"{n}.parquet", compression="zstd")


def _freeze(shared: Path, lang: str, work: Path) -> EntryList:
    return save_list([Entry(lang, entry, "given") for entry in list_entries(shared, lang)], work, lang)


def _ways(work: Path, lists: dict[str, EntryList], pairs: DataFrame) -> dict[str, Callable[[], None]]:
    """Return what is timed, by name: `plain NAME` and `spark NAME`."""
    as_read = pa.schema([plain(TABLES["pairs"]).field(name) for name in READ])
    functions: dict[str, tuple[Callable[[], Function], Sequence[str], pa.Schema]] = {
        "through": (lambda: _through, READ, as_read),
        "matched": (lambda: _matched(lists), ("pair_id", "text"), MATCHED),
        "step": (lambda: _step(lists), READ, _step_schema()),
    }
    ways: dict[str, Callable[[], None]] = {}
    for name, (made, columns, schema) in functions.items():
        ways[f"plain {name}"] = partial(_in_a_loop, work, made, columns)
        ways[f"spark {name}"] = partial(_on_spark, pairs.select(*columns), made, schema)
    ways["spark written"] = lambda: _written(work, lists, pairs)
    return ways


def _in_a_loop(work: Path, made: Callable[[], Function], columns: Sequence[str]) -> None:
    function = made()
    for path in sorted((work / "pairs").iterdir()):
        for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=list(columns)):
            function(batch)


def _on_spark(pairs: DataFrame, made: Callable[[], Function], schema: pa.Schema) -> None:
    def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        function = made()
        return (function(batch) for batch in batches)

    map_batches(pairs, each, schema).write.format("noop").mode("overwrite").save()


def _written(work: Path, lists: dict[str, EntryList], pairs: DataFrame) -> None:
    def each(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
        matcher = _pair_matcher(lists)
        return (matcher.match_pairs(batch, plain(TABLES["matches"]), tally) for batch in batches)

    with tempfile.TemporaryDirectory(dir=work) as folder:
        spec = StageSpec(name="match", section="match", version=1)
        stage = OpenStage(RunConfig(), spec, Path(folder), {})
        write_counted(pairs, each, stage, "matches", sort_by=["pair_id", "lang"])


def _through(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def _matched(lists: dict[str, EntryList]) -> Function:
    matchers = _matchers(lists)

    def match(batch: pa.RecordBatch) -> pa.RecordBatch:
        texts, keys = batch.column("text").to_pylist(), batch.column("pair_id")
        korean = [has_hangul(text) for text in texts]
        rows, lists_of = [], []
        for lang, wanted in (("en", False), ("ko", True)):
            chosen = [n for n, is_korean in enumerate(korean) if is_korean == wanted]
            offsets, ids = matchers[lang].match_columns([texts[n] for n in chosen])
            rows += chosen
            kind = MATCHED.field("entry_ids").type
            lists_of.append(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), ids, type=kind))
        return pa.RecordBatch.from_arrays(
            [keys.take(pa.array(rows)), pa.concat_arrays(lists_of)], schema=MATCHED
        )

    return match


def _step(lists: dict[str, EntryList]) -> Function:
    matcher, schema = _pair_matcher(lists), plain(TABLES["matches"])
    return lambda batch: matcher.match_pairs(batch, schema, Tally())


def _step_schema() -> pa.Schema:
    fields = [field.with_nullable(True) for field in plain(TABLES["matches"])]
    return pa.schema([*fields, pa.field("_reason", pa.string())])


def _matchers(lists: dict[str, EntryList]) -> dict[str, Any]:
    section = MatchSection()
    return {
        lang: load_matcher(item.path, item.sha256, lang=lang, mode=section.mode_of(lang))
        for lang, item in lists.items()
    }


def _pair_matcher(lists: dict[str, EntryList]) -> PairMatcher:
    section = MatchSection()
    identifier = language_identifier(LANGUAGES)
    return PairMatcher(identifier, _matchers(lists), min_chars=section.min_chars, max_chars=section.max_chars)


def _result(speeds: dict[str, float], cores: int, arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("through", "matched", "step")
    share = {name: round(speeds[f"spark {name}"] / (cores * speeds[f"plain {name}"]), 3) for name in names}
    share["written"] = round(speeds["spark written"] / (cores * speeds["plain step"]), 3)
    micros = {name: round(1e6 / speed, 2) for name, speed in speeds.items()}
    return {
        "what": "pairs a second, the best of the rounds; share: Spark's over the plain loop's times the cores",
        "command": f"python benchmarks/match_spark.py --pairs {arguments.pairs} --rounds {arguments.rounds}",
        "pairs": arguments.pairs,
        "rounds": arguments.rounds,
        "seed": 0,
        "wanted_share": WANTED_SHARE,
        "share": share,
        "pairs_per_second": {name: round(speed) for name, speed in speeds.items()},
        "core_microseconds_a_pair": {
            name: round(each * (cores if name.startswith("spark") else 1), 2) for name, each in micros.items()
        },
        "machine": machine(),
        "versions": versions("pyspark", "pyarrow", "numpy", "daachorse"),
    }


def _show(result: dict[str, Any]) -> None:
    print(f"{'':16}{'pairs/s':>10}{'core us a pair':>16}{'share':>7}")
    for name, speed in result["pairs_per_second"].items():
        side, _, function = name.partition(" ")
        share = result["share"][function] if side == "spark" else ""
        print(f"{name:16}{speed:>10,}{result['core_microseconds_a_pair'][name]:>16}{share:>7}")


if __name__ == "__main__":
    sys.exit(main())
