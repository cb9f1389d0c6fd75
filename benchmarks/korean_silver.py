"""What the Korean lattice learns from: Kiwi's pieces of plain sentences (silver) and the words of treebanks (gold).

A run is a stretch of Hangul syllables, and its key says what stands before it: (`D` after a digit, `A` after a Latin letter,
else `_`; the run). A path is the run's pieces in their order with Sejong's tags, joined by + where a piece holds two.
The licences are in the docstring of benchmarks/korean_model.py.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curation.korean_lattice import ALONE, CONTRACTED, MAX_JOINED, MAX_PIECE, NOMINAL, NUMERALS

MAX_RUN = 14  # syllables; longer runs teach nothing that shorter ones do not
SENTENCE_CHARS = range(2, 401)
BATCH = 2000  # sentences that Kiwi is given at once
RUN = re.compile("[\uac00-\ud7a3]+")
# Kiwi's and mecab-ko-dic's tags that the lattice does not keep apart: final endings, counting nouns, the vocative particle.
KIWI_TAGS = {"EF": "EC"}
MECAB_TAGS = {"EF": "EC", "NNBC": "NNB", "JKV": "JX"}
NAME, NOUN = "NNP", "NNG"

Key = tuple[str, str]
Piece = tuple[str, str]
Pieces = tuple[Piece, ...]


class Gold(NamedTuple):
    """A sentence of the treebanks: entries that are words of it, and entries inside it that are none."""

    text: str
    expected: frozenset[str]
    forbidden: frozenset[str]
    """Both of any number of syllables."""


class GoldRun(NamedTuple):
    """A run of such a sentence, with what must be found in it and what must not."""

    key: Key
    expected: frozenset[str]
    forbidden: frozenset[str]


class Analysed(NamedTuple):
    """Kiwi's analysis of a run; no path where a morpheme crosses the run's end or leaves a hole."""

    key: Key
    path: Pieces | None


def read_gold(path: Path, limit: int | None = None) -> list[Gold]:
    """Return the sentences of korean_gold.parquet (columns text, expected, forbidden, expected_one, forbidden_one)."""
    return [
        Gold(
            row["text"],
            frozenset(row["expected"]) | frozenset(row["expected_one"]),
            frozenset(row["forbidden"]) | frozenset(row["forbidden_one"]),
        )
        for row in pq.read_table(path).to_pylist()[:limit]
    ]


def read_entries(path: Path) -> list[str]:
    """Return the Korean entries of a table of lists (columns lang, entry), in NFC."""
    rows = pq.read_table(path, columns=["lang", "entry"]).to_pylist()
    return [unicodedata.normalize("NFC", row["entry"]) for row in rows if row["lang"] == "ko"]


def read_words(path: Path) -> dict[str, dict[str, int]]:
    """Return the words of mecab-ko-dic, each with its tags and their lowest cost, names (NNP) left out.

    path: words.arrow of pecab (columns surface, word_cost and POS, the latter two joined by |).
    """
    words: dict[str, dict[str, int]] = defaultdict(dict)
    with pa.memory_map(str(path)) as file:
        try:
            table = pa.ipc.open_file(file).read_all()
        except pa.ArrowInvalid:
            file.seek(0)
            table = pa.ipc.open_stream(file).read_all()
        columns = [table[name].to_pylist() for name in ("surface", "word_cost", "POS")]
    for surface, costs, tags in zip(*columns, strict=True):
        if len(surface) > MAX_PIECE or not RUN.fullmatch(surface):
            continue
        for cost, joined in zip(costs.split("|"), tags.split("|"), strict=True):
            tag = "+".join(MECAB_TAGS.get(one, one) for one in joined.split("+"))
            if tag != NAME:
                known = words[surface]
                known[tag] = min(int(cost), known.get(tag, int(cost)))
    return dict(words)


def read_texts(paths: Sequence[Path], limit: int | None = None) -> list[str]:
    """Return the distinct sentences of plain texts, a sentence a line, of which a third or more is Hangul."""
    found: dict[str, None] = {}
    for path in paths:
        for line in path.read_text("utf-8", errors="ignore").splitlines():
            text = " ".join(line.split())
            syllables = sum(map(len, RUN.findall(text)))
            if len(text) in SENTENCE_CHARS and syllables and syllables * 3 >= len(text):
                found[text] = None
    return list(found)[:limit]


def key_of(text: str, match: re.Match[str]) -> Key:
    """Return the key of a run of a text."""
    before = text[match.start() - 1] if match.start() else " "
    kind = "D" if before.isdigit() else "A" if before.isascii() and before.isalpha() else "_"
    return kind, match.group()


def analyse(texts: Sequence[str]) -> Iterator[list[Analysed]]:
    """Yield the analysed runs of each text. Needs kiwipiepy."""
    from kiwipiepy import Kiwi

    kiwi = Kiwi(num_workers=1)
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        for text, tokens in zip(batch, kiwi.tokenize(batch), strict=True):
            yield list(_runs(text, tokens))


def _runs(text: str, tokens: Sequence[Any]) -> Iterator[Analysed]:
    first = 0
    for match in RUN.finditer(text):
        start, stop = match.span()
        while first < len(tokens) and tokens[first].start < start >= tokens[first].start + tokens[first].len:
            first += 1
        last = first
        while last < len(tokens) and tokens[last].start < stop:
            last += 1
        yield Analysed(key_of(text, match), _path(text, start, stop, tokens[first:last]))


def _path(text: str, start: int, stop: int, tokens: Iterable[Any]) -> Pieces | None:
    """Return the pieces of text[start:stop]; morphemes that share a syllable make one piece."""
    pieces: list[tuple[int, int, str]] = []
    for token in tokens:
        begin, end = token.start, token.start + token.len
        plain = token.tag.split("-")[0]  # without the mark of a regular or irregular stem
        tag = KIWI_TAGS.get(plain, plain)
        if begin < start or end > stop:
            return None
        if pieces and (begin < pieces[-1][1] or begin == end):
            known = pieces[-1]
            pieces[-1] = (known[0], max(known[1], end), f"{known[2]}+{tag}")
        elif begin < end:
            pieces.append((begin, end, tag))
    ends = [start, *(end for _, end, _ in pieces)]
    if ends != [*(begin for begin, _, _ in pieces), stop]:
        return None
    return tuple((text[begin:end], NOUN if tag == NAME else tag) for begin, end, tag in pieces)


def silver_paths(sentences: Iterable[Iterable[Analysed]]) -> dict[Key, Pieces]:
    """Return Kiwi's most frequent path of each run, in the order of the keys."""
    counts: dict[Key, Counter[Pieces]] = defaultdict(Counter)
    for runs in sentences:
        for key, path in runs:
            if path and len(key[1]) <= MAX_RUN:
                counts[key][path] += 1
    return {key: paths.most_common(1)[0][0] for key, paths in sorted(counts.items())}


def seen_pieces(sentences: Iterable[Iterable[Analysed]]) -> Counter[Piece]:
    """Return of how many distinct analyses of a run each piece is part."""
    analyses = {run for runs in sentences for run in runs if run.path and len(run.key[1]) <= MAX_RUN}
    return Counter(piece for run in analyses for piece in run.path or ())


def gold_runs(sentences: Iterable[Gold]) -> list[GoldRun]:
    """Return the runs that hold an expected entry, which stands nowhere else in its sentence, or a forbidden one."""
    found = []
    for sentence in sentences:
        keys = [key_of(sentence.text, match) for match in RUN.finditer(sentence.text)]
        for key in dict.fromkeys(keys):
            run = key[1]
            expected = frozenset(
                entry
                for entry in sentence.expected
                if entry in run and sum(other.count(entry) for _, other in keys) == 1
            )
            forbidden = frozenset(entry for entry in sentence.forbidden if entry in run)
            if len(run) <= MAX_RUN and (expected or forbidden):
                found.append(GoldRun(key, expected, forbidden))
    return found


def words_of(path: Sequence[Piece]) -> set[str]:
    """Return what `curation.korean` would find along a path: nominal pieces and several of them joined."""
    found = set()
    for start in range(len(path)):
        word = ""
        for piece, tag in path[start : start + MAX_JOINED]:
            if tag not in NOMINAL:
                break
            word += piece
            if len(word) > 1 or tag in ALONE or word in NUMERALS:
                found.add(word)
            if tag in CONTRACTED:
                break
    return found


def score(found: Sequence[Collection[str]], gold: Sequence[Gold]) -> dict[str, dict[str, float]]:
    """Return recall and precision of the entries found in each sentence, for one syllable and for two or more."""
    result = {}
    for name, sizes in (("one", range(1, 2)), ("two or more", range(2, 1000))):
        right = wrong = wanted = 0
        for entries, sentence in zip(found, gold, strict=True):
            known = {entry for entry in entries if len(entry) in sizes}
            right += len(known & sentence.expected)
            wrong += len(known & sentence.forbidden)
            wanted += sum(len(entry) in sizes for entry in sentence.expected)
        recall, precision = right / max(1, wanted), right / max(1, right + wrong)
        result[name] = {"recall": recall, "precision": precision, "wanted": wanted}
    return result
