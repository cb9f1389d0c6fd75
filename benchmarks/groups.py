"""Groups of near pairs on Spark: seconds, processor time and memory of each rule by the number of near pairs.

    python benchmarks/groups.py [--pairs 1000000 10000000] [--rules mis dominated components] [--heap 4g] [--out FILE]

As many pictures as near pairs, drawn by hash: nineteen in twenty tie two pictures of one family of eight, the others a picture with one
of the next few families, so that components are of all sizes; a chain of 100,000 with its ranks along it stands among them. Each rule
runs in a process of its own on Spark `local[cores]`, as the stage `dedup` runs it above `dedup.driver_edges`; with up to 10^7 pairs the
same groups are then found in the driver's memory, and every vertex is compared. Memory is the peak of all processes together.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import machine, versions
from process_memory import PeakMemory
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from curation.config import SparkSection
from curation.spark.classes import PAIRS, Vertices
from curation.spark.groups import settle
from curation.spark.session import get_session

RULES = ("mis", "dominated", "components")
CHAIN = 100_000
FAMILY = 8
COMPARED = 10_000_000  # pairs up to which the driver finds the groups too
_PAIR = "a long, b long, cosine double, place_a long, place_b long"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--heap", default="4g")
    parser.add_argument(
        "--scratch", type=Path, default=None, help="for what is written; the system's by default"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/groups.json"), help="runs are added to it"
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        rule, number = arguments.child
        print(json.dumps(_measured(rule, int(number), arguments.heap, arguments.scratch)))
        return
    rows: list[dict[str, Any]] = (
        json.loads(arguments.out.read_text("utf-8"))["runs"] if arguments.out.is_file() else []
    )
    for number in arguments.pairs:
        for rule in arguments.rules:
            rows.append(_in_a_process(rule, number, arguments))
            print(json.dumps(rows[-1]), flush=True)
            result = {
                "machine": machine(), "versions": versions("pyspark", "numpy", "pyarrow"), "runs": rows,
            }  # fmt: skip
            arguments.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def _in_a_process(rule: str, number: int, arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        command = [
            sys.executable,
            __file__,
            "--child",
            rule,
            str(number),
            "--heap",
            arguments.heap,
            "--scratch",
            folder,
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(rule: str, number: int, heap: str, work: Path) -> dict[str, Any]:
    """Make the pairs, settle them on Spark, and compare with the driver's answer."""
    spark = get_session(
        SparkSection(
            driver_memory=heap, settings={"spark.local.dir": str(work / "local")}, log=work / "spark.log"
        )
    )
    vertices = _graph(spark, number, work)
    with PeakMemory(os.getpid()) as watch:
        time.sleep(1)
        before, started = watch.cpu_seconds, time.perf_counter()
        settled, note = settle(vertices, rule, work, driver_edges=0)
        settled.count()
        seconds = time.perf_counter() - started
    dropped = settled.where("joined != vertex").count()
    largest = settled.groupBy("component").count().agg(F.max("count")).first()
    assert largest is not None
    result = {
        "rule": rule, "heap": heap, "pairs": vertices.num_pairs, "vertices": vertices.num, "dropped": dropped, "largest_component": largest[0],
        "open_edges": [one["edges"] for one in note["rounds"]], "seconds": round(seconds, 1), "cpu_seconds": round(watch.cpu_seconds - before, 1),
        "peak_mib": {name: size >> 20 for name, size in sorted(watch.peaks.items())},
    }  # fmt: skip
    if vertices.num_pairs <= COMPARED:
        (work / "driver").mkdir()
        (work / "driver" / PAIRS).symlink_to(work / PAIRS)
        (work / "driver" / "graph").symlink_to(work / "graph")
        theirs, _ = settle(vertices, rule, work / "driver", driver_edges=vertices.num_pairs)
        result["unlike_the_drivers"] = settled.exceptAll(theirs).count() + theirs.exceptAll(settled).count()
    spark.stop()
    return result


def _graph(spark: SparkSession, number: int, work: Path) -> Vertices:
    """Write the near pairs and the vertices that have one. A vertex's place is another order of the same numbers."""
    drawn = spark.range(number).select(
        F.pmod(F.xxhash64("id", F.lit("one")), F.lit(number)).alias("one"),
        F.pmod(F.xxhash64("id", F.lit("other")), F.lit(FAMILY)).alias("step"),
        F.pmod(F.xxhash64("id", F.lit("far")), F.lit(20)).alias("far"),
    )
    family = F.expr(f"one div {FAMILY} * {FAMILY}")
    there = F.when(F.col("far") == 0, F.col("one") + 3 * FAMILY * (F.col("step") + 1)).otherwise(
        family + F.col("step")
    )
    far = drawn.select("one", F.pmod(there, F.lit(number)).alias("other"))
    # Ranks by hash but for the chain: a family's members are not neighbours in rank
    ranks = [_rank(F.col(name), number).alias(name) for name in ("one", "other")]
    chain = spark.range(CHAIN - 1).select(
        (F.col("id") + number).alias("one"), (F.col("id") + number + 1).alias("other")
    )
    ends = far.select(*ranks).unionByName(chain)
    pairs = (
        ends.where("one != other")
        .select(F.least("one", "other").alias("a"), F.greatest("one", "other").alias("b"))
        .distinct()
    )
    total = number + CHAIN
    cosine = (F.lit(900) + F.pmod(F.xxhash64("a", "b"), F.lit(100))) / 1000
    places = [(F.lit(total - 1) - F.col(name)).alias(f"place_{name}") for name in "ab"]
    pairs.select("a", "b", cosine.alias("cosine"), *places).write.parquet(str(work / PAIRS))
    written = spark.read.schema(_PAIR).parquet(str(work / PAIRS))
    table = spark.range(total).select(
        F.col("id").alias("vertex"), (F.lit(total - 1) - F.col("id")).alias("place")
    )
    table.write.parquet(str(work / "graph"))
    whole: DataFrame = spark.read.schema("vertex long, place long").parquet(str(work / "graph"))
    ties = spark.createDataFrame([], "a long, b long")
    return Vertices(whole, written, ties, total, written.count())


def _rank(vertex: Any, number: int) -> Any:
    """Return a number below `number` for each, no two the same: multiplied by one that shares no factor with it."""
    return F.pmod(vertex * _FACTOR, F.lit(number))


_FACTOR = 1_000_003  # a prime: it shares a factor only with its multiples


if __name__ == "__main__":
    main()
