"""Texts a second from raw text to sorted ids: `Matcher.match_batch` beside MetaCLIP's way, with the full lists of entries.

    python benchmarks/match.py [--shared ../shared] [--texts 100000] [--rounds 5]

MetaCLIP's way, written here from its description: pyahocorasick with the value `(id, entry)` under each spaced entry; a text is
spaced by `str.replace`, `iter` goes over its hits, a Python set holds the ids, and they are sorted. Each contestant, a list and
an engine, lives in a process of its own that reads the list and the texts, says what memory it holds before and after it has
built its matcher and matched, how long the matcher took, and then matches when it is asked. Rounds alternate between all of
them; the best of each counts. All must find the same.

Texts are distinct: the reference's captions and names, the texts of the pool's pages, and captions joined from the head of one
and the tail of another until there are as many as asked, by `curation.ids.coin`. A Korean text is one with Hangul.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import chain, count
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow.parquet as pq
from machine import machine, versions

from curation.extract import extract_wat
from curation.ids import coin
from curation.match import build_matcher
from curation.modes import space_entry, space_text
from curation.stage import Tally
from curation.text import clean, has_hangul
from curation.wat import Source

REPOSITORY = Path(__file__).resolve().parents[1]
WANTED_RATIO, AIM_RATIO = 1.4, 2.5
WANTED_MB, WANTED_READY = 200, 3.0
MAX_CHARS = 2_000  # of a text, as in the stage
METACLIP = "metaclip's way"
MODES = {"en": ("metaclip1", "metaclip2", "word"), "ko": ("metaclip2",)}
ENGINES = ("auto", "daachorse", "pyahocorasick")

Match = Callable[[list[str]], list[list[int]]]


def main() -> int:
    """Run the benchmark; return 0 where what is wanted is reached, by `auto` in the papers' modes."""
    arguments = _arguments()
    if arguments.child:
        _serve(Path(arguments.child[0]), *arguments.child[1:])
        return 0
    with tempfile.TemporaryDirectory() as folder:
        sides = {}
        about = {}
        for lang, modes in MODES.items():
            texts = distinct_texts(arguments.shared, lang, arguments.texts)
            (Path(folder) / f"{lang}.json").write_text(json.dumps(texts))
            frozen = Path(folder) / f"{lang}.txt"
            frozen.write_text("".join(f"{entry}\n" for entry in list_entries(arguments.shared, lang)))
            about[lang] = _about(texts)
            for mode in modes:
                sides[f"{lang} {mode}"] = _race(frozen, mode, arguments.rounds)
    result = {
        "what": "texts a second on one core, raw text to sorted ids, the best of the rounds",
        "command": f"python benchmarks/match.py --texts {arguments.texts} --rounds {arguments.rounds}",
        "rounds": arguments.rounds,
        "seed": 0,
        "texts": about,
        "wanted": {"ratio": WANTED_RATIO, "aim": AIM_RATIO, "mb": WANTED_MB, "ready_seconds": WANTED_READY},
        "lists": sides,
        "machine": machine(),
        "versions": versions("numpy", "pyahocorasick", "daachorse"),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    _show(result)
    return 0 if _reached(sides) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--texts", type=int, default=100_000, help="distinct texts a language")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results/match.json")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def list_entries(shared: Path, lang: str) -> list[str]:
    """Return the full list of a language."""
    rows = pq.read_table(shared / "metadata/entries.parquet").to_pylist()
    return [row["entry"] for row in rows if row["lang"] == lang]


def distinct_texts(shared: Path, lang: str, number: int) -> list[str]:
    """Return distinct clean texts of a language, `number` of them: as they are in the shared data, then joined from two of them."""
    real = real_texts(shared, lang)
    texts = dict.fromkeys(real)
    words = [text.split() for text in real]
    for draw in count():
        if len(texts) >= number:
            break
        first, second = (words[int(coin(f"{lang} {draw} {side}", 0, "texts") * len(words))] for side in "ab")
        cut, rest = (
            int(coin(f"{lang} {draw} {side}", 0, "cuts") * (len(part) + 1))
            for side, part in (("a", first), ("b", second))
        )
        joined = " ".join([*first[:cut], *second[rest:]])
        if joined and len(joined) <= MAX_CHARS:
            texts[joined] = None
    return sorted(texts, key=lambda text: coin(text, 0, "order"))[:number]


def real_texts(shared: Path, lang: str) -> list[str]:
    """Return the distinct clean texts of a language as they are in the shared data."""
    reference = pq.read_table(shared / "metadata/reference_matches.parquet").column("text").to_pylist()
    found = dict.fromkeys(map(clean, chain(reference, _pool(shared))))
    return [text for text in found if 0 < len(text) <= MAX_CHARS and has_hangul(text) == (lang == "ko")]


def _pool(shared: Path) -> Iterator[str]:
    for path in sorted((shared / "pool/wat").glob("*.wat.gz")):
        with path.open("rb") as file:
            for batch in extract_wat(Source(file), Tally(), origin=path.name):
                yield from batch.column("text").to_pylist()


def _about(texts: list[str]) -> dict[str, Any]:
    chars, words = np.array(list(map(len, texts))), np.array([len(text.split()) for text in texts])
    shares = (1, 25, 50, 75, 99)
    return {
        "distinct": len(set(texts)),
        "mean_chars": round(float(chars.mean()), 1),
        "mean_words": round(float(words.mean()), 1),
        "chars_at_percent": dict(zip(map(str, shares), np.percentile(chars, shares).tolist(), strict=True)),
    }


def _race(frozen: Path, mode: str, rounds: int) -> dict[str, dict[str, Any]]:
    """Let all contestants match the same texts, one after the other, round by round."""
    names = [METACLIP, *ENGINES] if mode != "word" else list(ENGINES)
    children = {name: _start(frozen, mode, name) for name in names}
    told = {name: _ask(child, "build") for name, child in children.items()}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, child in children.items():
            seconds[name].append(_ask(child, "match")["seconds"])
    for name, child in children.items():
        told[name] |= _ask(child, "memory") | _ask(child, "check")
        child.communicate("")
    if len({answer["sha256"] for answer in told.values()}) > 1:
        raise SystemExit(f"{frozen.stem} {mode}: the contestants do not find the same")
    number = told[names[0]]["texts"]
    return {
        name: {
            "engine": told[name]["engine"],
            "texts_per_second": round(number / min(seconds[name])),
            "median_texts_per_second": round(number / float(np.median(seconds[name]))),
            "ratio": round(min(seconds[names[0]]) / min(seconds[name]), 2) if names[0] == METACLIP else None,
            "ready_seconds": told[name]["ready_seconds"],
            "mb_held": told[name]["mb_held"],
            "mb_at_most": told[name]["mb_at_most"],
        }
        for name in names
    }


def _start(frozen: Path, mode: str, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, __file__, "--child", str(frozen), mode, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )


def _ask(process: "subprocess.Popen[str]", question: str) -> dict[str, Any]:
    pipes: tuple[IO[str] | None, IO[str] | None] = (process.stdin, process.stdout)
    assert pipes[0] is not None
    assert pipes[1] is not None
    pipes[0].write(f"{question}\n")
    pipes[0].flush()
    answer: dict[str, Any] = json.loads(pipes[1].readline())
    return answer


def _serve(frozen: Path, mode: str, name: str) -> None:
    """Answer questions: build the matcher, match all texts once, say what memory is held and what was found."""
    texts: list[str] = json.loads(frozen.with_suffix(".json").read_text())
    idle, match, answer = _resident("VmRSS"), _nothing, dict[str, Any]()
    for line in sys.stdin:
        started = time.perf_counter()
        if line.strip() == "build":
            Path("/proc/self/clear_refs").write_text("5")  # the most that was held counts from here
            match, engine = _matcher(frozen, mode, name)
            seconds = time.perf_counter() - started
            answer = {"engine": engine, "texts": len(texts), "ready_seconds": round(seconds, 2)}
        elif line.strip() == "match":
            for start in range(0, len(texts), 10_000):  # Spark's batches
                match(texts[start : start + 10_000])
            answer = {"seconds": time.perf_counter() - started}
        elif line.strip() == "memory":
            most = round(_resident("VmHWM") - idle)
            answer = {"mb_held": round(_resident("VmRSS") - idle), "mb_at_most": most}
        elif line.strip() == "check":
            answer = {"sha256": sha256(json.dumps(match(texts)).encode()).hexdigest()}
        print(json.dumps(answer), flush=True)


def _nothing(texts: list[str]) -> list[list[int]]:
    return [[] for _ in texts]


def _matcher(frozen: Path, mode: str, name: str) -> tuple[Match, str]:
    """Return a contestant made from the list's file, and what it is made of."""
    if name != METACLIP:
        matcher = build_matcher(frozen.read_text().split("\n")[:-1], lang="xx", mode=mode, engine=name)
        return matcher.match_batch, matcher.engine
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for position, entry in enumerate(frozen.read_text().split("\n")[:-1]):
        pattern = space_entry(entry, mode)
        automaton.add_word(pattern, (position, pattern))
    automaton.make_automaton()
    return (
        lambda texts: [sorted({hit[1][0] for hit in automaton.iter(space_text(text))}) for text in texts]
    ), "pyahocorasick"


def _resident(name: str) -> float:
    """Return VmRSS or VmHWM of this process, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def _reached(sides: dict[str, dict[str, dict[str, Any]]]) -> bool:
    ours = [(name, side["auto"]) for name, side in sides.items()]
    fast = all(side["ratio"] is None or side["ratio"] >= WANTED_RATIO for _, side in ours)
    return fast and all(
        side["mb_at_most"] <= WANTED_MB and side["ready_seconds"] <= WANTED_READY for _, side in ours
    )


def _show(result: dict[str, Any]) -> None:
    for lang, about in result["texts"].items():
        print(f"{lang}: {about['distinct']:,} distinct texts of {about['mean_words']} words on average")
    print(
        f"{'':14}{'asked for':16}{'engine':18}{'texts/s':>10}{'ratio':>7}{'ready':>8}{'held':>7}{'most':>7}"
    )
    for name, sides in result["lists"].items():
        for asked, side in sides.items():
            print(
                f"{name:14}{asked:16}{side['engine']:18}{side['texts_per_second']:>10,}{side['ratio'] or '-':>7}"
                f"{side['ready_seconds']:>7} s{side['mb_held']:>4} MB{side['mb_at_most']:>4} MB"
            )


if __name__ == "__main__":
    sys.exit(main())
