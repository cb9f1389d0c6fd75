"""MB/s of compressed dump a core through what a task of `curate metadata build` does, for English and Korean; its peak memory.

    python benchmarks/build_metadata.py [--sources ../shared/sources] [--rounds 3]

A round is a process of its own: a dump's pages are read, made plain text, cut into tokens and counted as the task does
(`read_pages`, `plain_text`, `NgramCounter`), single-threaded; then again without counting and without plain text, so that the
difference says what each step costs. Seconds are CPU time; the machine is shared, the best round counts. Summing in Spark, PMI
and merging come on top.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
DUMPS = {"en": "enwiki-sample-pages-articles.xml.bz2", "ko": "kowiki-sample-pages-articles.xml.bz2"}
ENGLISH_BYTES = 25_000_000_000  # enwiki pages-articles-multistream, compressed
TASK_BYTES = 5_000_000  # about 50 streams of 100 pages
CHILD = """
import json, resource, sys, time
from curation.stage import Tally
from metadata.ngrams import NgramCounter
from metadata.wikipedia import dump_ranges, plain_text, read_pages
path, lang = sys.argv[1:]
counter = NgramCounter(lang)
counter.add("warm up")
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def run(step):
    begun = time.process_time()
    pages = chars = 0
    for part in dump_ranges([path]):
        for page in read_pages(part, Tally()):
            text = plain_text(page.text) if step != "pages" else page.text
            pages, chars = pages + 1, chars + len(text)
            if step == "counts":
                counter.add(text)
                if counter.full:
                    counter.drain()
    return time.process_time() - begun, pages, chars
seconds, pages, chars = run("counts")
ones, twos = counter.drain()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps(dict(seconds=seconds, pages=pages, chars=chars, unigrams=ones.num_rows, bigrams=twos.num_rows,
    idle_kib=idle, peak_kib=peak, text_seconds=run("text")[0], pages_seconds=run("pages")[0])))
"""


def main() -> int:
    """Run the benchmark and write its results."""
    arguments = _arguments()
    result: dict[str, Any] = {
        "what": "compressed MB of a dump a second and core, from bytes to counted n-grams; best of the rounds by CPU time",
        "command": "python benchmarks/build_metadata.py",
        "rounds": arguments.rounds,
        "seed": None,  # nothing is drawn
        "languages": {},
    }
    for lang, name in DUMPS.items():
        path = arguments.sources / name
        if not path.is_file():
            print(f"no dump is at {path}: name the folder with --sources", file=sys.stderr)
            return 2
        rounds = [_round(path, lang) for _ in range(arguments.rounds)]
        result["languages"][lang] = _language(
            path.stat().st_size, min(rounds, key=lambda found: found["seconds"])
        )
    result["english_dump"] = _extrapolated(result["languages"]["en"])
    result["machine"] = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
    names = ("mwparserfromhell", "kiwipiepy", "kiwipiepy_model", "pyarrow")
    result["versions"] = {"python": platform.python_version()} | {
        name: metadata.version(name) for name in names
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in ("languages", "english_dump")}, indent=1))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sources", type=Path, default=REPOSITORY.parent / "shared/sources")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results/metadata.json")
    return parser.parse_args()


def _round(path: Path, lang: str) -> dict[str, Any]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", CHILD, str(path), lang]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _language(size: int, found: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a language's best round. size: compressed bytes."""
    counting = found["seconds"] - found["text_seconds"]
    parsing = found["text_seconds"] - found["pages_seconds"]
    return {
        "compressed_bytes": size, "pages": found["pages"], "plain_characters": found["chars"],
        "cpu_seconds": round(found["seconds"], 2),
        "mb_per_cpu_second": round(size / 1e6 / found["seconds"], 3),
        "cpu_seconds_by_step": {
            "decompress and cut pages": round(found["pages_seconds"], 2),
            "plain text": round(parsing, 2),
            "tokens and counts": round(counting, 2),
        },
        "distinct_unigrams": found["unigrams"], "distinct_bigrams": found["bigrams"],
        "peak_mib": round(found["peak_kib"] / 1024), "idle_mib": round(found["idle_kib"] / 1024),
    }  # fmt: skip


def _extrapolated(english: dict[str, Any]) -> dict[str, Any]:
    hours = ENGLISH_BYTES / 1e6 / english["mb_per_cpu_second"] / 3600
    return {
        "compressed_bytes": ENGLISH_BYTES,
        "core_hours": round(hours, 1),
        "tasks": ENGLISH_BYTES // TASK_BYTES,
        "minutes_a_task": round(TASK_BYTES / 1e6 / english["mb_per_cpu_second"] / 60, 1),
        "reasoning": "the time is linear in the dump, since each page is parsed alone; the sample's articles are longer than "
        "the average and have other markup, so take it as an order of magnitude. A task's memory does not grow with the "
        "dump: one page and at most a million distinct n-grams. Summing in Spark is left out.",
    }


if __name__ == "__main__":
    sys.exit(main())
