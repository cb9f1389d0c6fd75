"""Count, balance and report on millions of matched pairs, beside MetaCLIP's indexing way on the same pairs.

    python benchmarks/balance.py [--run runs/pool] [--pairs 1000000 10000000] [--heap 1g] [--out FILE]

The pairs are made from a run's real ones: each new pair takes the texts, languages and entry lists of one that a coin chose, with
an address and so an id of its own; mixed pairs stay mixed. They are written as the table matches that the stages read. Then, one
after the other on the same files, each in a process of its own:

ours    the stages count, balance and report as the command line runs them, on Spark `local[cores]`: written tables with digests,
        every kept pair with its id, address, chance and coin; the page with its tables. `session` is Spark's start
theirs  `metaclip_indexing.py`: index, count, balance, report, in as many processes; positions of the kept texts in their shards
published  the same in one process, as their scripts run: a second figure, not the one that is compared

Last, ours on two million pairs, by turns as they are and with three in ten of them also naming one entry, the first of their
language's list: what an entry in 30 % of the pairs costs, as the ratio of the steps' seconds, each the best of its turns.
t is the run's own times the growth of the pool; nothing is held out, so that both see the same rows: counts must be equal and
the numbers kept agree within four standard errors. Memory is the peak of all processes together, looked at four times a second.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from machine import machine, versions
from metaclip_indexing import Shards
from process_memory import PeakMemory

from curation.config import BalanceSection, RunConfig, RunSection, SparkSection
from curation.ids import coins, pair_ids
from curation.report.planning import read_counts
from curation.schemas import ROW_GROUP_ROWS, TABLES
from curation.spark.batches import plain
from curation.stage import OpenStage, StageSpec, read_record, run_stage
from metadata.entries import frozen_lists

REPOSITORY = Path(__file__).resolve().parents[1]
LANGUAGES = ("en", "ko")
FILES = 8
CHUNK_PAIRS = 125_000  # made at once
SIDES = ("ours", "theirs", "published")
OURS = ("session", "count", "balance", "report")
SKEWED_PAIRS, TURNS = 2_000_000, 3
SKEW = 0.3  # share of the pairs that name the entry of a skewed table


def main() -> int:
    """Run the benchmark, or with --child one side of it; return 0 where ours is not slower in all."""
    arguments = _arguments()
    if arguments.child:
        found = (
            _ours(arguments.work, arguments.heap)
            if arguments.child == "ours"
            else _theirs(arguments.work, 1 if arguments.child == "published" else os.cpu_count() or 1)
        )
        print(json.dumps(found))
        return 0
    rounds = []
    for pairs in arguments.pairs:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            work = Path(folder)
            made = _make(arguments.run, work, pairs)
            sides = {name: _child(name, work, arguments.heap) for name in SIDES}
            rounds.append(_compared(made, sides))
            _show(rounds[-1])
            _write(rounds, None, arguments)
    _write(rounds, _skewed(arguments), arguments)
    return 0 if rounds[-1]["speed_ratio"] >= 1 else 1


def _skewed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return how much longer ours takes where one entry a language is named by `SKEW` of the pairs: the best of turns."""
    shares = {"even": 0.0, "skewed": SKEW}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in shares}
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        works = {name: Path(folder) / name for name in shares}
        for name, work in works.items():
            work.mkdir()
            made = _make(arguments.run, work, SKEWED_PAIRS, skew=shares[name])
        for _ in range(TURNS):
            for name, work in works.items():
                for stage in OURS[1:]:
                    shutil.rmtree(work / "run" / stage, ignore_errors=True)
                found[name].append(_child("ours", work, arguments.heap))
    seconds = {
        name: {step: min(turn["seconds"][step] for turn in turns) for step in OURS}
        for name, turns in found.items()
    }
    cpu = {name: min(turn["cpu_seconds"] for turn in turns) for name, turns in found.items()}
    ratio = {step: round(seconds["skewed"][step] / seconds["even"][step], 2) for step in OURS[1:]}
    result = {
        "share": SKEW, "pairs": SKEWED_PAIRS, "matches": made["matches"], "turns": TURNS, "seconds": seconds, "ratio": ratio,
        "cpu_seconds": cpu, "cpu_ratio": round(cpu["skewed"] / cpu["even"], 2),
    }  # fmt: skip
    print(f"skewed: {result}")
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, default=REPOSITORY / "runs/pool")
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--heap", default="1g", help="memory of Spark's JVM")
    parser.add_argument("--scratch", type=Path, default=None, help="where the made tables lie")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results/balance.json")
    parser.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _config(work: Path, heap: str) -> RunConfig:
    facts = json.loads((work / "facts.json").read_text())
    return RunConfig(
        run=RunSection(path=work / "run", languages=LANGUAGES, heldout_share=0.0),
        spark=SparkSection(master=f"local[{os.cpu_count()}]", driver_memory=heap, log=work / "spark.log"),
        balance=BalanceSection(t={"en": facts["t"]}, margin=1.0),
    )


def _make(run: Path, work: Path, pairs: int, *, skew: float = 0.0) -> dict[str, Any]:
    """Write a run of so many pairs up to its matches; return what was made. skew: share that also names entry 0."""
    source = pq.read_table(run / "match/matches").sort_by([("pair_id", "ascending"), ("lang", "ascending")])
    starts = np.flatnonzero(_changes(source["pair_id"]))
    t = read_record(run / "balance").notes["t"]["en"] * pairs / starts.size
    facts = {"pairs": pairs, "source_pairs": int(starts.size), "t": round(t, 1)}
    (work / "facts.json").write_text(json.dumps(facts))
    shutil.copytree(run / "metadata", work / "run/metadata")
    config = _config(work, "1g")
    spec = StageSpec(name="match", section=None, version=1, run_keys=("languages", "seed"))
    made: dict[str, int] = {}
    run_stage(config, spec, lambda stage: made.update(_resampled(stage, source, starts, pairs, skew)))
    files = list((work / "run/match/matches").iterdir())
    return facts | made | {"matches_bytes": sum(file.stat().st_size for file in files)}


def _changes(ids: pa.ChunkedArray) -> np.ndarray:
    """Return where a sorted column's value differs from the one before: bool (N,), True first."""
    whole = ids.combine_chunks()
    return np.concatenate([[True], pc.not_equal(whole[1:], whole[:-1]).to_numpy(zero_copy_only=False)])


def _resampled(
    stage: OpenStage, source: pa.Table, starts: np.ndarray, pairs: int, skew: float
) -> dict[str, int]:
    """Write the table matches: every new pair's rows are those of a pair of the source that a coin chose."""
    schema = plain(TABLES["matches"])
    (stage.path / "matches").mkdir()
    lengths = np.diff(starts, append=source.num_rows)
    source = source.select(schema.names).combine_chunks()
    rows = matches = 0
    for n in range(FILES):
        bounds = range(n * pairs // FILES, (n + 1) * pairs // FILES)
        parts = [
            _part(source, starts, lengths, range(begin, min(begin + CHUNK_PAIRS, bounds.stop)), skew)
            for begin in range(bounds.start, bounds.stop, CHUNK_PAIRS)
        ]
        table = (
            pa.concat_tables(parts).sort_by([("pair_id", "ascending"), ("lang", "ascending")]).cast(schema)
        )
        pq.write_table(
            table,
            stage.path / "matches" / f"part-{n:05d}.parquet",
            compression="zstd",
            row_group_size=ROW_GROUP_ROWS,
        )
        rows += table.num_rows
        matches += int(pc.sum(pc.list_value_length(table["entry_ids"])).as_py())
    stage.add_table("matches", rows=rows, digest=str(matches))
    return {"rows": rows, "matches": matches}


def _part(source: pa.Table, starts: np.ndarray, lengths: np.ndarray, numbers: range, skew: float) -> pa.Table:
    chosen = (coins(map(str, numbers), 0, "resample") * starts.size).astype(np.int64)
    own = lengths[chosen]
    ends = np.cumsum(own)
    places = np.repeat(starts[chosen] - (ends - own), own) + np.arange(ends[-1])
    taken = source.take(pa.array(places))
    marks = pa.array(np.repeat(np.array(numbers), own)).cast(pa.string())
    urls = pc.binary_join_element_wise(taken["url"].combine_chunks(), marks, "?pair=")
    keys = pair_ids(urls, taken["text"].to_pylist())
    for name, column in (("url", urls), ("pair_id", keys)):
        taken = taken.set_column(taken.schema.get_field_index(name), name, column)
    if skew:
        named = np.repeat(coins(map(str, numbers), 0, "skew") < skew, own)
        place = taken.schema.get_field_index("entry_ids")
        ids = _with_first(taken["entry_ids"].combine_chunks(), named)
        taken = taken.set_column(place, taken.schema.field(place), ids.cast(taken.schema.field(place).type))
    return taken


def _with_first(ids: pa.ListArray, named: np.ndarray) -> pa.ListArray:
    """Return sorted lists with entry 0 put before those of `named` that do not begin with it."""
    flat, lengths = ids.flatten().to_numpy(), pc.list_value_length(ids).to_numpy()
    starts = np.cumsum(lengths) - lengths
    has = (lengths > 0) & (flat[np.minimum(starts, flat.size - 1)] == 0)
    new = named & ~has
    offsets = np.concatenate([[0], np.cumsum(lengths + new)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.insert(flat, starts[new], 0)))


def _child(side: str, work: Path, heap: str) -> dict[str, Any]:
    """Run one side in a process of its own; return its figures with its peak memory."""
    command = [sys.executable, __file__, "--child", side, "--work", str(work), "--heap", heap]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        PeakMemory(process.pid) as memory,
    ):
        out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{side} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found | {"cpu_seconds": round(memory.cpu_seconds, 1), "peak_bytes": memory.peaks}


def _timed(seconds: dict[str, float], name: str, step: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = step()
    seconds[name] = round(time.perf_counter() - started, 2)
    return result


def _ours(work: Path, heap: str) -> dict[str, Any]:
    from curation.report import html
    from curation.spark import balance, count
    from curation.spark.session import get_session

    config, seconds = _config(work, heap), dict[str, float]()
    _timed(seconds, "session", lambda: get_session(config.spark))
    counted = _timed(seconds, "count", lambda: count.run(config))
    balanced = _timed(seconds, "balance", lambda: balance.run(config))
    get_session(config.spark).stop()
    _timed(seconds, "report", lambda: html.run(config))
    counts = read_counts(counted.path / "counts", LANGUAGES)
    written = sum(file.stat().st_size for file in (balanced.path / "wanted").glob("*.parquet"))
    return {
        "seconds": seconds, "kept": balanced.ledgers[0]["out"], "expected": balanced.notes["expected_pairs"],
        "t": balanced.notes["t"], "matches": int(sum(values.sum() for values in counts.values())),
        "counts_sha256": _hash(np.concatenate([counts[lang] for lang in LANGUAGES])), "written_bytes": written,
    }  # fmt: skip


def _theirs(work: Path, processes: int) -> dict[str, Any]:
    shutil.rmtree(work / "theirs", ignore_errors=True)
    ts = read_record(work / "run/balance").notes["t"]
    sizes = {lang: item.size for lang, item in frozen_lists(read_record(work / "run/metadata")).items()}
    starts = dict(zip(LANGUAGES, np.cumsum([0, *(sizes[lang] for lang in LANGUAGES)]).tolist(), strict=False))
    t = np.concatenate([np.full(sizes[lang], float(ts[lang])) for lang in LANGUAGES])
    shards = Shards(work / "run/match/matches", work / "theirs", starts, t.size, processes)
    seconds: dict[str, float] = {}
    matches = _timed(seconds, "index", shards.index)
    counts = _timed(seconds, "count", shards.count)
    kept = _timed(seconds, "balance", lambda: shards.balance(t))
    _timed(seconds, "report", lambda: shards.report([float(ts["en"]) * factor for factor in (0.5, 1, 2)]))
    shards.close()
    written = sum(file.stat().st_size for file in (work / "theirs").rglob("*.npy"))
    return {
        "seconds": seconds, "kept": kept, "matches": matches, "counts_sha256": _hash(counts), "written_bytes": written,
    }  # fmt: skip


def _hash(counts: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(counts.astype("<u8").tobytes()).hexdigest()


def _compared(made: dict[str, Any], sides: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Check that both did the same work; return the figures of one size."""
    ours, theirs = sides["ours"], sides["theirs"]
    if len({side["counts_sha256"] for side in sides.values()}) > 1:
        raise SystemExit("the counts differ")
    # Theirs keeps a mixed text twice, once a language: it may keep more by as many as there are.
    mixed, error = made["rows"] - made["pairs"], math.sqrt(made["pairs"]) / 2
    if not -4 * error <= theirs["kept"] - ours["expected"] <= 4 * error + mixed:
        raise SystemExit(f"theirs keeps {theirs['kept']}, ours expects {ours['expected']}")
    for side in sides.values():
        side["seconds"]["all"] = round(sum(side["seconds"].values()), 2)
        side["rows_per_second"] = round(made["rows"] / side["seconds"]["all"])
        side["written_bytes_a_row"] = round(side.pop("written_bytes") / made["rows"], 1)
    ratio = theirs["seconds"]["all"] / ours["seconds"]["all"]
    cpu_ratio = round(theirs["cpu_seconds"] / ours["cpu_seconds"], 2)
    made["matches_bytes_a_row"] = round(made.pop("matches_bytes") / made["rows"], 1)
    return made | {"speed_ratio": round(ratio, 2), "cpu_ratio": cpu_ratio} | sides


def _write(
    rounds: list[dict[str, Any]], skewed: dict[str, Any] | None, arguments: argparse.Namespace
) -> None:
    sizes = " ".join(map(str, arguments.pairs))
    result = {
        "what": "seconds of each step and peak bytes of all processes; ratios: their seconds in all by ours, and of processor time",
        "command": f"python benchmarks/balance.py --pairs {sizes} --heap {arguments.heap}",
        "seed": 0, "rounds": rounds, "skewed": skewed, "machine": machine(), "load": [round(load, 1) for load in os.getloadavg()],
        "versions": versions("pyspark", "pyarrow", "numpy"),
    }  # fmt: skip
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def _show(found: dict[str, Any]) -> None:
    print(
        f"{found['pairs']:,} pairs, {found['rows']:,} rows, {found['matches']:,} matches; ratio {found['speed_ratio']}"
    )
    for side in SIDES:
        item = found[side]
        peaks = ", ".join(f"{name} {size / 2**20:,.0f}" for name, size in sorted(item["peak_bytes"].items()))
        print(
            f"  {side:10}{item['seconds']}  cpu {item['cpu_seconds']}  {item['rows_per_second']:,} rows/s  MiB: {peaks}"
        )


if __name__ == "__main__":
    sys.exit(main())
