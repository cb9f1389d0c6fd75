"""Korean nouns and compounds by morphological analysis: what of a Korean text can be an entry. A step of `metadata.ngrams`.

MetaCLIP 2 splits Korean at spaces, so that its unigrams are words with their particles. Here Kiwi (kiwipiepy) takes the
words (eojeols) apart, and of each the longest row of nouns that touch is the word to count: with prefixes before them
(XPN), suffixes after them (XSN, save the plural), letters and Chinese characters inside (LG전자), digits behind (코로나19).
The nouns of a compound are counted too. Numerals, pronouns, dependent nouns and Latin words alone are none.

What may be a noun with its particle is not counted: a noun that Kiwi does not know and that ends as a particle would after
it; a noun of one syllable that is a particle's; a compound that is a known noun with a particle (김 + 프로, 김프 + 로). The
noun is found where it stands with another particle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from curation.extras import missing

MAX_PIECE = 2_000  # characters that Kiwi sees at once; its time is linear in them
MAX_WORD = (
    100  # characters between spaces; longer ones are no words, and Kiwi's time on one is more than linear
)
MAX_PARTS = 8  # morphemes of a compound; in longer ones only the nouns are counted

_BY_WHAT_THEY_FOLLOW = {
    "consonant": "은 이 을 과 이나 이랑 이라도 이라고 이라는 이여 으로 으로서 으로써 으로부터",
    "vowel": "는 가 를 와 나 랑 라도 라고 라는 여",
    "vowel or l": "로 로서 로써 로부터",
    "anything": "의 에 에서 에서는 에는 에도 에게 에게서 에서의 에의 께 께서 한테 도 만 까지 까지의 부터 마저 조차 마다 처럼 보다 "
    "밖에 대로 만큼 하고",
}
_AFTER = {kind: frozenset(particles.split()) for kind, particles in _BY_WHAT_THEY_FOLLOW.items()}
PARTICLES = frozenset().union(*_AFTER.values())
_LONGEST_PARTICLE = max(map(len, PARTICLES))
_NO_CODA, _CODA_L = 0, 8  # of a syllable's 28 codas

_NO_SUFFIX = frozenset({"들", "이"})  # the plural; and 이 after a name, which Kiwi also sees in the particle
_NOUNS = frozenset({"NNG", "NNP"})
_INSIDE = frozenset({"NNG", "NNP", "XPN", "XSN", "XR", "SL", "SH", "SN"})
_COUNTERS = frozenset({"NNB", "NR"})


class Run(NamedTuple):
    """Words that follow one another with nothing but space between: neighbours in it are bigrams."""

    tokens: list[str]
    inner: list[str]
    """Further words that are parts of the tokens: counted, in no bigram."""


@dataclass(frozen=True)
class _Part:
    """A morpheme of a word."""

    text: str
    tag: str
    start: int
    end: int
    unknown: bool


def ending_particle(word: str) -> str:
    """Return the longest particle that the word ends in, by its sound after what stands before it, or an empty text."""
    for length in range(min(_LONGEST_PARTICLE, len(word) - 1), 0, -1):
        particle = word[-length:]
        if particle in PARTICLES and _follows(particle, word[-length - 1]):
            return particle
    return ""


def _follows(particle: str, before: str) -> bool:
    """Whether Korean's sound rules let the particle stand after a character."""
    if not "\uac00" <= before <= "\ud7a3" or particle in _AFTER["anything"]:
        return True
    coda = (ord(before) - 0xAC00) % 28
    if particle in _AFTER["consonant"]:
        return coda != _NO_CODA and not (particle.startswith("으로") and coda == _CODA_L)
    return coda == _NO_CODA or (particle in _AFTER["vowel or l"] and coda == _CODA_L)


@lru_cache(maxsize=1)
def load_kiwi() -> Any:
    """Return the analyser, one a process (about 350 MB). Raises MissingExtraError where it is not installed.

    Its dictionary of names of many words stays out: such names are found as compounds and bigrams of their parts.
    """
    try:
        from kiwipiepy import Kiwi
    except ImportError as error:
        raise missing("finding Korean words", "kiwipiepy") from error
    return Kiwi(num_workers=1, load_multi_dict=False)


def korean_runs(text: str) -> Iterator[Run]:
    """Yield the runs of Korean nouns and compounds of a text. Linear in its length."""
    kiwi = load_kiwi()
    for line in text.split("\n"):
        for piece in _pieces(line):
            yield from _runs_of(piece, kiwi.tokenize(piece))


def _pieces(line: str) -> Iterator[str]:
    """Yield a line in pieces of bounded length, cut at spaces; words beyond all measure are cuts too."""
    held: list[str] = []
    length = 0
    for word in line.split():
        if held and (length + len(word) > MAX_PIECE or len(word) > MAX_WORD):
            yield " ".join(held)
            held, length = [], 0
        if len(word) <= MAX_WORD:
            held.append(word)
            length += len(word) + 1
    if held:
        yield " ".join(held)


def _runs_of(piece: str, tokens: list[Any]) -> Iterator[Run]:
    run = Run([], [])
    end = -1
    for chain in _chains(piece, tokens):
        word, inner = _word_of(chain)
        if not word or end < 0 or piece[end : chain[0].start] != " ":
            if run.tokens or run.inner:
                yield run
            run = Run([], [])
        run.inner.extend(inner)
        if word:
            run.tokens.append(word)
        end = chain[-1].end if word else -1
    if run.tokens or run.inner:
        yield run


def _chains(piece: str, tokens: list[Any]) -> Iterator[list[_Part]]:
    """Yield the longest rows of morphemes that touch and can be a noun together, each with a noun in it."""
    chain: list[_Part] = []
    for n, token in enumerate(tokens):
        part = _Part(piece[token.start : token.end], token.tag, token.start, token.end, token.oov)
        following = [after.tag for after in tokens[n + 1 : n + 2] if after.start == token.end]
        fits = part.tag in _INSIDE and part.text == token.form and _fits(part, chain)
        if part.tag == "SN" and not _COUNTERS.isdisjoint(following):
            fits = False  # 5월, 3마리: a number of something
        if fits:
            chain.append(part)
        if chain and not (fits and following):
            yield from _trimmed(chain)
            chain = []


def _fits(part: _Part, chain: list[_Part]) -> bool:
    if part.tag == "XSN":
        return bool(chain) and part.text not in _NO_SUFFIX and chain[-1].tag != "XPN"
    return part.tag != "SN" or bool(chain)


def _trimmed(chain: list[_Part]) -> Iterator[list[_Part]]:
    while chain and chain[-1].tag in {"XPN", "XR"}:
        chain = chain[:-1]
    if any(part.tag in _NOUNS for part in chain):
        yield chain


def _word_of(chain: list[_Part]) -> tuple[str, list[str]]:
    """Return the word that a row of morphemes is, empty where it is doubtful or too long, and the nouns inside it."""
    word = "".join(part.text for part in chain)
    if len(chain) == 1:
        return ("" if _doubtful(chain[0]) else word), []
    inner = [part.text for part in chain if part.tag in _NOUNS and not _doubtful(part)]
    clear = len(chain) <= MAX_PARTS and not _may_end_in_particle(word, chain[-1])
    return (word if clear else ""), inner


def _may_end_in_particle(word: str, last: _Part) -> bool:
    """Whether a compound may be a noun with its particle, which Kiwi took apart elsewhere."""
    particle = ending_particle(word)
    if not particle:
        return last.unknown and last.text in PARTICLES
    cut_inside = len(last.text) > len(particle) and _is_known_noun(word[: -len(particle)])
    return _doubtful(last) or cut_inside


@lru_cache(maxsize=50_000)
def _is_known_noun(word: str) -> bool:
    tokens = load_kiwi().tokenize(word)
    return len(tokens) == 1 and tokens[0].tag in _NOUNS and not tokens[0].oov


def _doubtful(part: _Part) -> bool:
    """Whether a morpheme may be a particle, or a noun that Kiwi does not know with its particle."""
    if part.tag not in _NOUNS:
        return False
    return part.text in PARTICLES or (part.unknown and bool(ending_particle(part.text)))
