"""What benchmarks/korean_model.py learns weights of: the stretches that can be a piece, and the features of pieces and steps.

`curation.korean_lattice` knows the same stretches; benchmarks/korean_export.py adds up features for it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from korean_silver import NOUN, RUN, Key, Piece, Pieces

from curation.korean_lattice import MAX_PIECE, MAX_UNKNOWN, final_of

MAX_DICTIONARY_PIECE = 6  # syllables of a word that only mecab-ko-dic knows
END = "$"
Feature = tuple[object, ...]
Weights = dict[Feature, float]


class Lexicon:
    """What the lattice knows before it has learned: of each stretch the tags that it can have."""

    def __init__(
        self,
        seen: Counter[Piece],
        words: dict[str, dict[str, int]],
        entries: Iterable[str],
        tags: Iterable[str],
    ) -> None:
        """tags: those that are kept; pieces and words with others are left out."""
        self.tags = frozenset(tags)
        self.seen = {piece: count for piece, count in seen.items() if piece[1] in self.tags}
        self.words = words
        self.entries = frozenset(entry for entry in entries if RUN.fullmatch(entry))
        known: dict[str, set[str]] = defaultdict(set)
        for piece, tag in self.seen:
            known[piece].add(tag)
        for word, costs in words.items():
            if len(word) <= MAX_DICTIONARY_PIECE and not self.tags.isdisjoint(costs):
                known[word] |= self.tags & costs.keys()
        for entry in self.entries:
            known[entry].add(NOUN)
        self.pieces = {piece: sorted(of_piece) for piece, of_piece in known.items()}

    def edges(self, run: str) -> list[list[tuple[int, str, str]]]:
        """Return, of each position, the (stop, piece, tag) that begin there, as the runtime's lattice has them."""
        found: list[list[tuple[int, str, str]]] = []
        for start in range(len(run)):
            here = []
            for stop in range(start + 1, min(len(run), start + MAX_PIECE) + 1):
                piece = run[start:stop]
                tags = self.pieces.get(piece, [])
                here += [(stop, piece, tag) for tag in tags]
                free = stop - start == 1 or (start == 0 and stop <= MAX_UNKNOWN)
                if free and NOUN not in tags:
                    here.append((stop, piece, NOUN))
            found.append(here)
        return found


def cost_bucket(cost: int | None) -> int | str:
    """Return which of nine ranges a cost of mecab-ko-dic falls in, x where it has none."""
    return "x" if cost is None else min(7, max(-1, cost // 1000))


def piece_features(piece: str, tag: str, lexicon: Lexicon) -> list[Feature]:
    """Return what speaks for a piece by itself; nouns share more, so that unknown ones are judged too."""
    costs = lexicon.words.get(piece, {})
    bucket = cost_bucket(costs.get(tag))
    size = min(len(piece), 5)
    found: list[Feature] = [("piece", piece, tag), ("size", tag, size)]
    if tag != NOUN:
        found.append(("cost", tag, bucket))
        return found
    is_entry, in_words = piece in lexicon.entries, bucket != "x"
    found += [("noun cost", bucket, is_entry), ("noun known", in_words, is_entry, size)]
    if not in_words and not is_entry:
        found.append(("noun unknown", size))
    found += [("first", piece[0], size == 1), ("last", piece[-1], size == 1)]
    if any(other != NOUN for other in costs):
        found.append(("ambiguous", size))
    return found


def step_features(before: str, final: int | None, tag: str, piece: str) -> list[Feature]:
    """Return what speaks for a piece after a tag, and after a syllable with that final (None at the start of a run)."""
    found: list[Feature] = [("tags", before, tag)]
    if tag != NOUN:
        found.append(("piece after", before, piece, tag))
        if final is not None and (tag[0] in "JEV" or tag.startswith("XS")):
            found.append(("final", final, piece, tag))
    return found


def add_path(key: Key, path: Pieces, lexicon: Lexicon, change: Weights, sign: float) -> None:
    """Add a path's features to a change of the weights."""
    before, position = "B" + key[0], 0
    for piece, tag in path:
        final = final_of(key[1][position - 1]) if position else None
        for feature in piece_features(piece, tag, lexicon) + step_features(before, final, tag, piece):
            change[feature] = change.get(feature, 0.0) + sign
        before, position = tag, position + len(piece)
    for feature in step_features(before, None, END, ""):
        change[feature] = change.get(feature, 0.0) + sign
