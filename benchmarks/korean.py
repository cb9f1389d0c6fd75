"""How well and how fast each way tried finds Korean entries: recall, precision and texts a second of one core.

    python benchmarks/korean.py [--shared ../shared] [--models DIR] [--ways NAME ...] [--rounds 3] [--quick]

The ways are in benchmarks/korean_ways.py. `--models` is a folder with `0.json.gz` to `4.json.gz`, which `korean_model.py --fold N
--out FILE` writes: each fold's sentences are then found by the lattice that was learned without them, and the sum over all folds
is what mode `korean` reaches on sentences not seen. `silver.json.gz` (`--fold all --max-gold 0`) is one learned from Kiwi alone.

recall = found and expected / expected, precision = found and expected / (found and expected + found and forbidden), over
all sentences of korean_gold.parquet, of entries with two syllables or more and with one.

Speeds are by CPU time, children included, from raw text to sorted ids; each round and way has a process of its own, the
best round counts. Sentences: five folds, each after the other four, by a finder made anew (`new`), and once more (`again`);
what a new run (for `Kiwi, each word once` a new word) costs is the difference. Alternative texts, all distinct: the real ones of the
shared data, the second half after the first (`real`), and as many more joined of two, after the first tenth (`long`).
"""

import argparse
import gc
import json
import re
import resource
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from korean_model import FOLDS
from korean_silver import Gold, read_entries, read_gold, score
from korean_ways import WAYS, Find, Way
from machine import machine, versions
from match import distinct_texts, real_texts

from curation.ids import coin

REPOSITORY = Path(__file__).resolve().parents[1]
BATCH = 10_000  # Spark's
AGAIN = 3
WARM = 100  # sentences before a way that remembers nothing is measured
QUICK_SENTENCES, QUICK_TEXTS = 300, 2_000
WANTED = {"two or more": (0.965, 0.98), "one": (0.80, 0.85)}  # recall and precision
AIM = {"two or more": (0.98, 0.99), "one": (0.90, 0.90)}
WANTED_SPEED, AIM_SPEED, AIM_LONG = 4_000, 25_000, 20_000  # sentences a second, new; alternative texts, long
UNSEEN = "folds"


class Inputs(NamedTuple):
    """What a process reads."""

    shared: Path
    models: Path | None
    real: list[str]
    """Distinct alternative texts as they are."""
    long: list[str]
    """Those and more, joined of two."""
    sentences: int | None
    """Of the gold, for a trial."""


def main() -> int:
    """Run the benchmark; return 0 where the lattice reaches on sentences not seen what is wanted."""
    arguments = _arguments()
    missing = {name: WAYS[name].missing(arguments.models) for name in arguments.ways}
    inputs = _inputs(arguments)
    measured: dict[str, dict[str, Any]] = {}
    for _ in range(1 if arguments.quick else arguments.rounds):
        for name in (name for name in arguments.ways if not missing[name]):
            told = _alone(name, inputs)
            measured[name] = _better(measured[name], told) if name in measured else told
    result = {
        "what": "recall and precision over the gold, texts a second of CPU time, the best of the rounds",
        "command": _command(arguments),
        "rounds": arguments.rounds,
        "wanted": {**WANTED, "sentences_per_second": WANTED_SPEED},
        "aim": {**AIM, "sentences_per_second": AIM_SPEED, "long_texts_per_second": AIM_LONG},
        "texts": {"sentences": inputs.sentences or "all", "real": len(inputs.real), "long": len(inputs.long)},
        "seed": 0,
        "ways": {name: {"label": WAYS[name].label, **told} for name, told in measured.items()},
        "skipped": {name: why for name, why in missing.items() if why},
        "machine": machine(),
        "versions": versions("numpy", "pyahocorasick", "daachorse", "kiwipiepy", "python-mecab-ko"),
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    _show(result)
    return 0 if UNSEEN in measured and _reached(measured[UNSEEN]) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--models", type=Path, metavar="DIR")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=100_000, help="distinct texts of the long run")
    parser.add_argument(
        "--quick", action="store_true", help="a trial: few texts, one round, no file unless --out"
    )
    parser.add_argument("--out", type=Path)
    found = parser.parse_args()
    if not found.quick and found.out is None:
        found.out = REPOSITORY / "benchmarks/results/korean.json"
    return found


def _command(arguments: argparse.Namespace) -> str:
    options = [f"--rounds {arguments.rounds}", f"--texts {arguments.texts}"]
    options += ["--models DIR"] if arguments.models else []
    options += ["--quick"] if arguments.quick else []
    options += ["--ways", *arguments.ways] if len(arguments.ways) < len(WAYS) else []
    return " ".join(["python benchmarks/korean.py", *options])


def _inputs(arguments: argparse.Namespace) -> Inputs:
    most = QUICK_TEXTS if arguments.quick else arguments.texts
    return Inputs(
        arguments.shared,
        arguments.models,
        sorted(real_texts(arguments.shared, "ko"), key=lambda text: coin(text, 0, "order"))[:most],
        distinct_texts(arguments.shared, "ko", most),
        QUICK_SENTENCES if arguments.quick else None,
    )


def _alone(name: str, inputs: Inputs) -> dict[str, Any]:
    """Measure a way in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, name, inputs).result()


def measure(name: str, inputs: Inputs) -> dict[str, Any]:
    """Return what a way finds and how long it takes."""
    way = WAYS[name]
    entries = read_entries(inputs.shared / "metadata/entries.parquet")
    gold = read_gold(inputs.shared / "metadata/korean_gold.parquet", inputs.sentences)
    finders = _Finders(way, entries, inputs.models)
    found, seconds = _folds(way, finders, gold)
    per_second = {
        "new": len(gold) / seconds["new"],
        "real": _speed(finders.make(0), inputs.real, len(inputs.real) // 2),
        "long": _speed(finders.make(0), inputs.long, len(inputs.long) // 10),
    }
    told: dict[str, Any] = score([{entries[one] for one in positions} for positions in found], gold)
    told["ready_seconds"] = round(min(finders.seconds), 2)
    if way.cached_by:
        per_second["again"] = len(gold) / seconds["again"]
        told["microseconds_a_new_run"] = round((seconds["new"] - seconds["again"]) / seconds["runs"] * 1e6, 1)
    return told | {"per_second": {key: round(value) for key, value in per_second.items()}}


class _Finders:
    """Makes finders: anew each time where the way remembers what it has seen."""

    def __init__(self, way: Way, entries: Sequence[str], models: Path | None) -> None:
        self.seconds: list[float] = []
        self._way, self._entries, self._models = way, entries, models
        self._made: Find | None = None

    def make(self, fold: int) -> Find:
        """Return a finder, of the fold's model where there is one a fold."""
        if self._made is None or self._way.cached_by:
            names = self._way.models
            path = self._models / names[fold % len(names)] if names and self._models else None
            began = _cpu()
            self._made = self._way.make(self._entries, path)
            self.seconds.append(_cpu() - began)
        return self._made


def _folds(way: Way, finders: _Finders, gold: Sequence[Gold]) -> tuple[list[list[int]], dict[str, float]]:
    """Return what is found in each sentence, and over all folds the seconds and the number of new runs."""
    found: list[list[int]] = [[] for _ in gold]
    total = {"new": 0.0, "again": 0.0, "runs": 0.0}
    for fold in range(FOLDS):
        own = [sentence.text for sentence in gold[fold::FOLDS]]
        rest = [sentence.text for number, sentence in enumerate(gold) if number % FOLDS != fold]
        find = finders.make(fold)
        find(rest if way.cached_by else rest[:WARM])
        found[fold::FOLDS], seconds = _timed(find, own)
        total["new"] += seconds
        if way.cached_by:
            total["again"] += min(_timed(find, own)[1] for _ in range(AGAIN))
            total["runs"] += len(_keys(way.cached_by, own) - _keys(way.cached_by, rest))
    return found, total


def _keys(pattern: re.Pattern[str], texts: Sequence[str]) -> set[str]:
    return {key for text in texts for key in pattern.findall(text)}


def _speed(find: Find, texts: Sequence[str], warm: int) -> float:
    """Return texts a second after the first `warm`, in batches."""
    find(texts[:warm])
    seconds = [_timed(find, texts[start : start + BATCH])[1] for start in range(warm, len(texts), BATCH)]
    return (len(texts) - warm) / sum(seconds)


def _timed(find: Find, texts: Sequence[str]) -> tuple[list[list[int]], float]:
    gc.collect()
    began = _cpu()
    found = find(texts)
    return found, _cpu() - began


def _cpu() -> float:
    """Return the seconds of CPU time of this process, its threads and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _better(known: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Return the better speeds of two rounds; what is found is the same in both."""
    if any(known[size] != told[size] for size in ("one", "two or more")):
        raise SystemExit("two rounds of a way do not find the same")
    speeds = {key: max(value, told["per_second"][key]) for key, value in known["per_second"].items()}
    times = ("ready_seconds", "microseconds_a_new_run")
    return {
        **known,
        **{key: min(known[key], told[key]) for key in times if key in known},
        "per_second": speeds,
    }


def _reached(told: dict[str, Any]) -> bool:
    sizes = all(
        told[size]["recall"] >= recall and told[size]["precision"] >= precision
        for size, (recall, precision) in WANTED.items()
    )
    return sizes and told["per_second"]["new"] >= WANTED_SPEED


def _show(result: dict[str, Any]) -> None:
    """Print a table of at most 80 columns."""
    print(f"{'':29}{'2 syllables +':>14}{'1 syllable':>12}{'sentences/s':>15}{'alt-texts/s':>15}")
    print(f"{'':29}{'recall prec.':>14}{'rec. prec.':>12}{'new':>8}{'again':>8}{'real':>8}{'long':>8}")
    for told in result["ways"].values():
        two, one, speeds = told["two or more"], told["one"], told["per_second"]
        again = f"{speeds['again']:8,}" if "again" in speeds else f"{'':8}"
        print(
            f"{told['label']:29}{two['recall']:7.3f}{two['precision']:7.3f}{one['recall']:6.2f}{one['precision']:6.2f}"
            f"{speeds['new']:8,}{again}{speeds['real']:8,}{speeds['long']:8,}"
        )
    for told in result["ways"].values():
        if "microseconds_a_new_run" in told:
            print(f"{told['label']}: {told['microseconds_a_new_run']} microseconds a new run")
    for name, why in result["skipped"].items():
        print(f"{WAYS[name].label}: skipped, {why}")


if __name__ == "__main__":
    sys.exit(main())
