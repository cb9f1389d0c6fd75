"""The ways of finding Korean entries that benchmarks/korean.py compares: each a function from texts to sorted ids.

All analysers are held to the rule of `curation.korean`: an entry of Hangul is one nominal morpheme or up to six joined, one
syllable is a noun or a number alone, and any other entry begins and ends at no morpheme's inside.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import ahocorasick
from korean_model import FOLDS
from korean_silver import MECAB_TAGS, NAME, NOUN, RUN

from curation.korean import KoreanFinder
from curation.korean_lattice import ALONE, CONTRACTED, MAX_JOINED, NOMINAL
from curation.match import build_matcher

MAX_CACHED = 1 << 17  # words whose analysis `kiwi, words` keeps
WORD = re.compile(r"\S+")
KEY = re.compile("[0-9A-Za-z]?[\uac00-\ud7a3]+")  # what curation.korean caches by
# Sejong's particles by their tags, then those that stand after one another; the vocative ones, and `고` and `하고` of
# quotations, are forms of others.
PARTICLES = {
    "JKS": "이 가 께서",
    "JKG": "의",
    "JKO": "을 를",
    "JKB": "에 에서 에게 에게서 한테 한테서 께 로 으로 로서 으로서 로써 으로써 로부터 으로부터 보다 처럼 만큼 같이 대로 에다",
    "JKV": "아 야 이여 여",
    "JKQ": "라고 이라고 라는 이라는",
    "JX": "은 는 도 만 까지 마저 조차 부터 마다 나 이나 라도 이라도 야말로 이야말로 밖에 든지 이든지 나마 이나마 란 이란 뿐 요",
    "JC": "와 과 하고 랑 이랑 며 이며",
    "of two": "에는 에도 에만 에의 에서는 에서도 에서의 에게는 에게도 로는 으로는 로도 으로도 로의 으로의 와는 과는 와의 과의 "
    "까지는 까지도 까지의 부터는 부터의 만의 만이 만을 만은 보다는 로서의 으로서의 께서는",
}
LISTED = frozenset(" ".join(PARTICLES.values()).split())

Find = Callable[[Sequence[str]], list[list[int]]]
Token = tuple[int, int, str]


class Span(NamedTuple):
    """A morpheme, or several that share a syllable, in a text."""

    start: int
    stop: int
    tag: str


class Way(NamedTuple):
    """One way to find entries."""

    label: str
    """At most 29 characters."""
    make: Callable[[Sequence[str], Path | None], Find]
    """From the entries and, where the way reads one, a file of a model."""
    needs: tuple[str, ...] = ()
    """Modules, and the distribution that brings the last of them."""
    models: tuple[str, ...] = ()
    """Files under --models: one, or one a fold."""
    cached_by: re.Pattern[str] | None = None
    """What it remembers between texts, if it does."""

    def missing(self, models: Path | None) -> str | None:
        """Return why this way cannot be tried here."""
        if self.needs and find_spec(self.needs[0]) is None:
            return f"{self.needs[1]} is not installed"
        absent = [name for name in self.models if models is None or not (models / name).is_file()]
        return f"no {', '.join(absent)} under --models" if absent else None


def spaces(entries: Sequence[str], _model: Path | None) -> Find:
    """Return MetaCLIP 2's: the entry between spaces."""
    return build_matcher(list(entries), lang="ko", mode="metaclip2").match_batch


def substring(entries: Sequence[str], _model: Path | None) -> Find:
    """Return the entry anywhere in the text."""
    automaton = ahocorasick.Automaton()
    for position, entry in reversed(list(enumerate(entries))):
        automaton.add_word(entry, position)
    automaton.make_automaton()
    return lambda texts: [sorted({hit[1] for hit in automaton.iter(text)}) for text in texts]


def particles(entries: Sequence[str], _model: Path | None) -> Find:
    """Return the entry from a run's beginning to a particle of the list that ends the run, or to its end."""
    ids = {entry: position for position, entry in reversed(list(enumerate(entries)))}
    sizes = range(1, max(map(len, LISTED)) + 1)

    def found_in(text: str) -> Iterator[int]:
        for run in RUN.findall(text):
            for stem in (run, *(run[:-size] for size in sizes if run[-size:] in LISTED)):
                if stem in ids:
                    yield ids[stem]

    return lambda texts: [sorted(set(found_in(text))) for text in texts]


class Analyser:
    """Finds entries at the boundaries of an analyser's morphemes."""

    def __init__(
        self, entries: Sequence[str], spans: Callable[[Sequence[str]], Iterable[list[Span]]]
    ) -> None:
        """spans: the morphemes of each text, in their order."""
        self.ids: dict[str, int] = {}
        self.others = ahocorasick.Automaton()
        for position, entry in enumerate(entries):
            if RUN.fullmatch(entry):
                self.ids.setdefault(entry, position)
            elif entry not in self.others:
                self.others.add_word(entry, (position, len(entry)))
        self.others.make_automaton()
        self.spans = spans

    def find_at_boundaries(self, texts: Sequence[str]) -> list[list[int]]:
        """Find entries of any morphemes."""
        return [
            sorted({*self.joined(text, spans, any_tag=True), *self.mixed(text, inside(spans))})
            for text, spans in zip(texts, self.spans(texts), strict=True)
        ]

    def find_nominal(self, texts: Sequence[str]) -> list[list[int]]:
        """Find entries of nominal morphemes."""
        return [
            sorted({*self.joined(text, spans), *self.mixed(text, inside(spans))})
            for text, spans in zip(texts, self.spans(texts), strict=True)
        ]

    def joined(self, text: str, spans: Sequence[Span], *, any_tag: bool = False) -> Iterator[int]:
        """Yield the entries of Hangul that are one morpheme or several joined."""
        for number, first in enumerate(spans):
            stop = first.start
            for span in spans[number : number + MAX_JOINED]:
                if span.start != stop or not (any_tag or span.tag in NOMINAL):
                    break
                stop = span.stop
                word = text[first.start : stop]
                if word in self.ids and (len(word) > 1 or any_tag or span.tag in ALONE):
                    yield self.ids[word]
                if not any_tag and span.tag in CONTRACTED:
                    break

    def mixed(self, text: str, within: set[int]) -> Iterator[int]:
        """Yield the entries with other characters that neither begin nor end inside a morpheme."""
        for last, (position, size) in self.others.iter(text):
            if last + 1 not in within and last + 1 - size not in within:
                yield position


class WordByWord:
    """Finds entries by the analyses of words between spaces, each analysed once, alone, and remembered."""

    def __init__(self, analyser: Analyser) -> None:
        self._analyser = analyser
        self._known: dict[str, tuple[tuple[int, ...], frozenset[int]]] = {}

    def find_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Find entries of nominal morphemes."""
        known, analyser = self._known, self._analyser
        batch = dict.fromkeys(word for text in texts for word in text.split())
        if len(known) + len(batch) > MAX_CACHED:
            known.clear()
        new = [word for word in batch if word not in known]
        for word, spans in zip(new, analyser.spans(new), strict=True):
            known[word] = tuple(set(analyser.joined(word, spans))), frozenset(inside(spans))
        return [sorted(self._find(text)) for text in texts]

    def _find(self, text: str) -> set[int]:
        found = {position for word in text.split() for position in self._known[word][0]}
        if any(self._analyser.others.iter(text)):
            within = {
                match.start() + place
                for match in WORD.finditer(text)
                for place in self._known[match.group()][1]
            }
            found.update(self._analyser.mixed(text, within))
        return found


def inside(spans: Iterable[Span]) -> set[int]:
    """Return the places inside morphemes."""
    return {place for span in spans for place in range(span.start + 1, span.stop)}


def merged(tokens: Iterable[Token]) -> list[Span]:
    """Return the morphemes; those that share a syllable are one, their tags joined by +."""
    spans: list[Span] = []
    for start, stop, tag in tokens:
        if spans and (start < spans[-1].stop or start == stop):
            known = spans[-1]
            spans[-1] = Span(known.start, max(known.stop, stop), f"{known.tag}+{tag}")
        elif start < stop:
            spans.append(Span(start, stop, tag))
    return spans


def _plain(tag: str) -> str:
    """Return a tag of Kiwi or mecab-ko as the lattice names it."""
    parts = (part.split("-")[0] for part in tag.split("+"))
    return "+".join(NOUN if part == NAME else MECAB_TAGS.get(part, part) for part in parts)


def kiwi(entries: Sequence[str]) -> Analyser:
    """Return Kiwi with one worker."""
    from kiwipiepy import Kiwi

    model = Kiwi(num_workers=1)

    def spans(texts: Sequence[str]) -> Iterator[list[Span]]:
        for tokens in model.tokenize(list(texts)):
            yield merged((token.start, token.start + token.len, _plain(token.tag)) for token in tokens)

    return Analyser(entries, spans)


def mecab(entries: Sequence[str]) -> Analyser:
    """Return mecab-ko; its compounds stay whole."""
    from mecab import MeCab

    model = MeCab()

    def spans(texts: Sequence[str]) -> Iterator[list[Span]]:
        for text in texts:
            tokens = model.parse(text)
            yield merged((token.span.start, token.span.end, _plain(token.pos)) for token in tokens)

    return Analyser(entries, spans)


def lattice(entries: Sequence[str], model: Path | None) -> Find:
    """Return mode `korean`, with the shipped model or one of benchmarks/korean_model.py."""
    if model is None:
        return KoreanFinder(entries).find_batch
    data: dict[str, Any] = json.loads(gzip.decompress(model.read_bytes()))
    with mock.patch("curation.korean_lattice._read_model", return_value=data):
        return KoreanFinder(entries).find_batch


KIWI, MECAB = ("kiwipiepy", "kiwipiepy"), ("mecab", "python-mecab-ko")
WAYS = {
    "spaces": Way("spaces (metaclip2)", spaces),
    "substring": Way("substring", substring),
    "particles": Way(f"a list of {len(LISTED)} particles", particles),
    "kiwi-all": Way("Kiwi, all morphemes", lambda e, _: kiwi(e).find_at_boundaries, KIWI),
    "kiwi": Way("Kiwi, nominal ones", lambda e, _: kiwi(e).find_nominal, KIWI),
    "kiwi-words": Way(
        "Kiwi, each word once", lambda e, _: WordByWord(kiwi(e)).find_batch, KIWI, cached_by=WORD
    ),
    "mecab": Way("mecab-ko, nominal ones", lambda e, _: mecab(e).find_nominal, MECAB),
    "silver": Way("lattice, of Kiwi alone", lattice, models=("silver.json.gz",), cached_by=KEY),
    "folds": Way(
        "lattice, sentences not seen",
        lattice,
        models=tuple(f"{fold}.json.gz" for fold in range(FOLDS)),
        cached_by=KEY,
    ),
    "lattice": Way("lattice as shipped, all seen", lattice, cached_by=KEY),
}
