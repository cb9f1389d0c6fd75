"""Learns the weights of the Korean lattice, curation/models/korean.json.gz, which `curation.korean_lattice` reads.

    python benchmarks/korean_model.py --gold GOLD.parquet --entries ENTRIES.parquet --words words.arrow --texts TEXT... \
        [--fold N|all] [--out FILE] [--max-texts N] [--max-gold N]

What it learns from; of it the file holds single words and pieces with numbers, no sentence:

- gold: sentences of the dev parts of the treebanks UD_Korean-GSD and UD_Korean-Kaist, with the entries that are words of each
  and those that only stand inside a word (CC BY-SA 4.0);
- words with tags and costs: mecab-ko-dic, in the package pecab 1.0.8, pecab/_resources/words.arrow (Apache 2.0);
- silver: what kiwipiepy 0.24 (Apache 2.0) makes of plain texts, the gold's among them; it is the teacher of tags;
- texts, a sentence a line: Debian's Korean documentation (packages libreoffice-help-ko, gimp-help-ko, installation-guide-amd64,
  debian-handbook, debian-faq-ko, each under its own licence), and the alternative texts of the pool;
- entries: the Korean list in which to find words.

An averaged perceptron: two epochs on the silver paths, then four on all gold and a part of the silver. Gold says which words
are there, not the path, so a step goes from the path that is good and costs most (score plus cost) to the best one of those
that cost least, among the k best. Folds are every fifth sentence: `--fold 0` to `4` learns without one, Kiwi's analyses of its
sentences left out too, and prints what the runtime then finds in it; `--fold all` learns the shipped file. Nothing is
fitted to single sentences: features are of pieces (each word has a weight of its own) and tags. The four costs, the two biases and
the length of an unknown noun were chosen over folds 0 and 1 (so the figures of those two are a little kind; 2 to 4 were run once).
"""

import argparse
import gzip
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from korean_export import tables
from korean_lexicon import END, Feature, Lexicon, Weights, add_path, piece_features, step_features
from korean_silver import (
    NOUN,
    Gold,
    GoldRun,
    Key,
    Piece,
    Pieces,
    analyse,
    gold_runs,
    read_entries,
    read_gold,
    read_texts,
    read_words,
    score,
    seen_pieces,
    silver_paths,
    words_of,
)

from curation.ids import coin
from curation.korean import KoreanFinder
from curation.korean_lattice import final_of

SEED = 0
FOLDS = 5
SILVER_EPOCHS, MIXED_EPOCHS = 2, 4
SILVER_SHARE = 0.35  # of the silver in a mixed epoch
BATCH = 48  # runs between two changes of the weights
BEST = 12  # paths of a gold run that are compared
MIN_TAG = 25  # analyses that a tag must be part of to be kept
# Costs of a path: an expected entry missed, a forbidden one found; the second of each is of entries of one syllable.
MISSED, MISSED_ONE = 1.0, 1.5
FORBIDDEN, FORBIDDEN_ONE = 2.0, 0.3
State = tuple[float, Any, str, str]  # score, the state before (or None), piece, tag
Example = tuple[Key, Pieces]


class Model:
    """Weights and the paths that they like best."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.weights: Weights = {}
        self._of_piece: dict[Piece, float] = {}
        self._of_step: dict[tuple[str, int | None, str, str], float] = {}

    def forget(self) -> None:
        """Drop the remembered sums; to be called after every change of the weights."""
        self._of_piece, self._of_step = {}, {}

    def _sum(self, features: Iterable[Feature]) -> float:
        return sum(self.weights.get(feature, 0.0) for feature in features)

    def _piece(self, piece: str, tag: str) -> float:
        known = self._of_piece.get((piece, tag))
        if known is None:
            known = self._of_piece[piece, tag] = self._sum(piece_features(piece, tag, self.lexicon))
        return known

    def _step(self, before: str, final: int | None, tag: str, piece: str) -> float:
        key = (before, final, tag, "" if tag == NOUN else piece)
        known = self._of_step.get(key)
        if known is None:
            known = self._of_step[key] = self._sum(step_features(before, final, tag, piece))
        return known

    def best(self, key: Key, count: int = 1) -> list[tuple[float, Pieces]]:
        """Return up to `count` paths of a run with their scores, the best first."""
        kind, run = key
        chart: list[dict[str, list[State]]] = [{} for _ in range(len(run) + 1)]
        chart[0]["B" + kind] = [(0.0, None, "", "")]
        for start, edges in enumerate(self.lexicon.edges(run)):
            states = chart[start]
            final = final_of(run[start - 1]) if start else None
            for stop, piece, tag in edges if states else ():
                alone = self._piece(piece, tag)
                arrived: list[State] = []
                for before, known in states.items():
                    step = alone + self._step(before, final, tag, piece)
                    arrived += [(state[0] + step, state, piece, tag) for state in known]
                arrived += chart[stop].get(tag, ())
                if len(arrived) > count:
                    arrived.sort(key=itemgetter(0), reverse=True)
                chart[stop][tag] = arrived[:count]
        ends = [
            (state[0] + self._step(tag, None, END, ""), state)
            for tag, known in chart[len(run)].items()
            for state in known
        ]
        ends.sort(key=itemgetter(0), reverse=True)
        return [(total, _walk_back(state)) for total, state in ends[:count]]


def _walk_back(state: State) -> Pieces:
    path = []
    while state[1] is not None:
        path.append((state[2], state[3]))
        state = state[1]
    return tuple(reversed(path))


class Average:
    """The mean of the weights over all steps of learning."""

    def __init__(self, model: Model) -> None:
        self.step = 0
        self._model = model
        self._totals: Weights = defaultdict(float)
        self._last: dict[Feature, int] = {}

    def change(self, change: Weights) -> None:
        """Add to the model's weights."""
        weights = self._model.weights
        for feature, value in change.items():
            if value:
                known = weights.get(feature, 0.0)
                self._totals[feature] += known * (self.step - self._last.get(feature, 0))
                self._last[feature] = self.step
                weights[feature] = known + value
        self._model.forget()

    def settle(self) -> None:
        """Put the means in place of the model's weights."""
        means = {}
        for feature, value in self._model.weights.items():
            total = self._totals[feature] + value * (self.step - self._last.get(feature, 0))
            mean = total / max(1, self.step)
            if abs(mean) > 1e-6:
                means[feature] = mean
        self._model.weights = means
        self._model.forget()


def learn_path(model: Model, example: Example, change: Weights) -> bool:
    """Go from the best path to Kiwi's; return whether they differ."""
    key, wanted = example
    best = model.best(key)
    if best and best[0][1] == wanted:
        return False
    add_path(key, wanted, model.lexicon, change, 1.0)
    if best:
        add_path(key, best[0][1], model.lexicon, change, -1.0)
    return True


def cost_of(path: Pieces, run: GoldRun) -> float:
    """Return what a path's words miss and find in error."""
    found = words_of(path)
    missed = (MISSED if len(entry) > 1 else MISSED_ONE for entry in run.expected - found)
    wrong = (FORBIDDEN if len(entry) > 1 else FORBIDDEN_ONE for entry in run.forbidden & found)
    return sum(missed) + sum(wrong)


def learn_words(model: Model, run: GoldRun, change: Weights) -> bool:
    """Go from the good path that costs most to the best one that costs least; return whether the best one costs more."""
    ranked = [(total, cost_of(path, run), path) for total, path in model.best(run.key, BEST)]
    if not ranked:
        return False
    least = min(cost for _, cost, _ in ranked)
    wanted = next(path for _, cost, path in ranked if cost == least)  # the first of them scores best
    _, cost, worst = max(ranked, key=_score_and_cost)
    if cost > least:
        add_path(run.key, wanted, model.lexicon, change, 1.0)
        add_path(run.key, worst, model.lexicon, change, -1.0)
    return ranked[0][1] > least


def _score_and_cost(ranked: tuple[float, float, Pieces]) -> float:
    return ranked[0] + ranked[1]


class Task(NamedTuple):
    """One thing to learn in an epoch, at its place in the order that the coins give."""

    order: float
    number: int
    learn: Callable[[Model, Any, Weights], bool]
    example: Any


def tasks_of(epoch: int, silver: Sequence[Example], gold: Sequence[GoldRun]) -> list[Task]:
    """Return the tasks of an epoch, shuffled."""
    purpose = f"korean model {epoch}"
    tasks = []
    for number, example in enumerate(silver):
        key = f"silver {example[0][0]}{example[0][1]}"
        if epoch < SILVER_EPOCHS or coin(key, SEED, f"{purpose} share") < SILVER_SHARE:
            tasks.append(Task(coin(key, SEED, purpose), number, learn_path, example))
    for number, run in enumerate(gold if epoch >= SILVER_EPOCHS else ()):
        tasks.append(Task(coin(f"gold {number} {run.key[1]}", SEED, purpose), number, learn_words, run))
    return sorted(tasks, key=itemgetter(0, 1))


def learn(model: Model, silver: Sequence[Example], gold: Sequence[GoldRun]) -> None:
    """Learn the model's weights; prints the share of examples in error, an epoch a line."""
    average = Average(model)
    for epoch in range(SILVER_EPOCHS + MIXED_EPOCHS):
        began = time.monotonic()
        if epoch == SILVER_EPOCHS:
            average.settle()
            average = Average(model)
        errors: dict[str, list[bool]] = {learn_path.__name__: [], learn_words.__name__: []}
        tasks = tasks_of(epoch, silver, gold)
        for start in range(0, len(tasks), BATCH):
            change: Weights = {}
            for task in tasks[start : start + BATCH]:
                average.step += 1
                errors[task.learn.__name__].append(task.learn(model, task.example, change))
            average.change(change)
        shares = {name: round(sum(wrong) / max(1, len(wrong)), 4) for name, wrong in errors.items()}
        print(
            json.dumps({"epoch": epoch, **shares, "seconds": round(time.monotonic() - began, 1)}), flush=True
        )
    average.settle()


def held_out(fold: str, count: int) -> frozenset[int]:
    """Return which of the gold's sentences are not learned from."""
    return frozenset() if fold == "all" else frozenset(range(int(fold), count, FOLDS))


def build(options: argparse.Namespace, gold: Sequence[Gold], entries: Sequence[str]) -> dict[str, Any]:
    """Return the tables of a model learned from everything but the fold."""
    without = held_out(options.fold, len(gold))
    learned = [sentence for number, sentence in enumerate(gold) if number not in without]
    texts = read_texts(options.texts, options.max_texts) + [sentence.text for sentence in learned]
    analysed = list(analyse(texts))
    seen = seen_pieces(analysed)
    per_tag: Counter[str] = Counter()
    for (_, tag), count in seen.items():
        per_tag[tag] += count
    tags = {tag for tag, count in per_tag.items() if count >= MIN_TAG} | {NOUN}
    paths = silver_paths(analysed).items()
    silver = [(key, path) for key, path in paths if all(tag in tags for _, tag in path)]
    model = Model(Lexicon(seen, read_words(options.words), entries, tags))
    runs = gold_runs(learned)
    print(json.dumps({"silver runs": len(silver), "gold runs": len(runs), "tags": len(tags)}), flush=True)
    learn(model, silver, runs)
    return tables(model.weights, model.lexicon)


def evaluate(
    data: dict[str, Any], entries: Sequence[str], gold: Sequence[Gold]
) -> dict[str, dict[str, float]]:
    """Return how well the runtime finds the entries with these tables."""
    with mock.patch("curation.korean_lattice._read_model", return_value=data):
        finder = KoreanFinder(entries)
    found = finder.find_batch(sentence.text for sentence in gold)
    return score([{entries[position] for position in positions} for positions in found], gold)


def main() -> None:
    """Learn, score the fold that was held out, and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gold", type=Path, required=True, metavar="PARQUET")
    parser.add_argument("--entries", type=Path, required=True, metavar="PARQUET")
    parser.add_argument("--words", type=Path, required=True, metavar="words.arrow")
    parser.add_argument("--texts", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--fold", choices=[*map(str, range(FOLDS)), "all"], default="all")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--max-texts", type=int, metavar="N", help="sentences of the texts, for a trial")
    parser.add_argument("--max-gold", type=int, metavar="N", help="sentences of the gold, for a trial")
    options = parser.parse_args()
    gold, entries = read_gold(options.gold, options.max_gold), read_entries(options.entries)
    data = build(options, gold, entries)
    without = held_out(options.fold, len(gold))
    if without:
        result = evaluate(data, entries, [gold[number] for number in sorted(without)])
        print(json.dumps({"fold": options.fold, **result}))
    if options.out:
        raw = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
        options.out.write_bytes(gzip.compress(raw, 9, mtime=0))
        print(json.dumps({"out": options.out.name, "bytes": options.out.stat().st_size}))


if __name__ == "__main__":
    main()
