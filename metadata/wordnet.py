"""Wordnets: Princeton's own `dict/` files, and WN-LMF files of any language, as entries of source "wordnet".

dict/      A folder or a .tar.gz of one: data.noun, data.verb, data.adj, data.adv (wndb(5WN)). Underscores become spaces, an
           adjective's marker such as `(p)` is taken off, the case is the file's.
WN-LMF     .xml or .xml.gz, through the reader of the `wn` package (nothing is written into a database of its).

names      "lemmas": every word of every synset; 148,730 in WordNet 3.0 (147,306 where case does not count). "synsets": what MetaCLIP 1 takes, a name a synset: its
           first word in lower case, cut at its first full stop; 86,554, which with the numbers 0-99 are the 86,654 of Xu
           et al. 2023, appendix. The cut turns `St. Thomas` into `st`; it is theirs, and needed to have their list.
"""

import re
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from curation.errors import ConfigError, InputError, Reason
from curation.extras import missing
from curation.stage import Tally
from metadata.entries import Entry
from metadata.streams import expand, open_source, read_lines, read_pieces

SYNSETS, LEMMAS = "synsets", "lemmas"  # the units
SOURCE = "wordnet"
Names = Literal["lemmas", "synsets"]
DATA = ("data.adj", "data.adv", "data.noun", "data.verb")
_MARKER = re.compile(r"\((?:a|p|ip)\)$")
_HEADER = b"  "  # lines of the licence begin so
_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_LONG_CODES = {"eng": "en", "kor": "ko"}  # languages that wordnets name by ISO 639-3


def read_wordnet(path: str, lang: str, tally: Tally, *, names: Names = "lemmas") -> Iterator[Entry]:
    """Yield a wordnet's names, sorted by falling score and then by text; score: the number of synsets that a name is in.

    path: an address: a `dict/` folder, a tar archive with one, or a WN-LMF file.
    Counted in the tally: "synsets", and "lemmas": a word of a synset each, equal ones merged.
    Raises InputError that names the file where it is none of these, ConfigError for `names` that it cannot give.
    """
    if names not in get_args(Names):
        raise ConfigError(f"wordnet names are {names!r}: one of {', '.join(get_args(Names))}")
    if re.search(r"\.xml(\.gz)?$", path):
        if names == "synsets":
            raise ConfigError(f"{path} is WN-LMF, whose synsets have no names; take the lemmas of it")
        found = _lmf_synsets(path, lang, tally)
    else:
        found = _dict_synsets(path, tally)
    counts: Counter[str] = Counter()
    for words in found:
        counts.update(_names_of(words, names, tally))
    ledger = tally.of(LEMMAS)
    ledger.rows_out += len(counts)
    ledger.rows_in += counts.total()
    ledger.merged += counts.total() - len(counts)
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield Entry(lang, name, SOURCE, float(count))


def _names_of(words: list[str], names: Names, tally: Tally) -> list[str]:
    """Return the distinct names that a synset of these words gives, and count out the empty ones."""
    taken = [words[0].lower().partition(".")[0]] if names == "synsets" else list(dict.fromkeys(words))
    kept = [name for name in taken if name]
    if len(kept) < len(taken):
        tally.drop(LEMMAS, Reason.EMPTY_TEXT, len(taken) - len(kept))
    return kept


def _dict_synsets(path: str, tally: Tally) -> Iterator[list[str]]:
    """Yield the words of each synset of a `dict/`, and count the synsets."""
    good = 0
    for line in _data_lines(path):
        words = line if isinstance(line, Reason) else _words_of(line)
        if isinstance(words, Reason):
            tally.drop(SYNSETS, words)
        else:
            good += 1
            tally.keep(SYNSETS)
            yield words
    if not good:
        raise InputError(f"{path} holds files named as WordNet's, but no line of a synset")


def _words_of(line: bytes) -> list[str] | Reason:
    """Return the words of a line of a data file: offset, file, type, number of words in hex, then word and id in turn."""
    try:
        fields = line.decode().split(" ")
    except UnicodeDecodeError:
        return Reason.UNDECODABLE_BYTES
    if len(fields) < 6 or not fields[0].isdecimal() or not re.fullmatch("[0-9a-f]{2}", fields[3]):
        return Reason.MALFORMED_LINE
    words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
    if not words or len(words) != int(fields[3], 16) or not all(words):
        return Reason.MALFORMED_LINE
    return [_MARKER.sub("", word).replace("_", " ") for word in words]


def _data_lines(path: str) -> Iterator[bytes | Reason]:
    """Yield the lines of the four data files but the licence. Raises InputError that names what is missing."""
    lines = _archive_lines(path) if path.endswith(_ARCHIVES) else _folder_lines(path)
    return (line for line in lines if isinstance(line, Reason) or (line and not line.startswith(_HEADER)))


def _folder_lines(path: str) -> Iterator[bytes | Reason]:
    root = path.rstrip("/")
    for folder in (root, f"{root}/dict"):
        try:
            files = expand([f"{folder}/{name}" for name in DATA])
        except InputError:
            continue
        for file in files:
            yield from read_lines(read_pieces(file))
        return
    raise InputError(
        f"{path} is no wordnet: give a folder with {', '.join(DATA)}, a .tar.gz of one, or a WN-LMF .xml or .xml.gz"
    )


def _archive_lines(path: str) -> Iterator[bytes | Reason]:
    missing = set(DATA)
    try:
        with open_source(path) as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                file = archive.extractfile(member) if member.isfile() and name in missing else None
                if file is not None:
                    missing.discard(name)
                    yield from read_lines(_pieces(file))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a tar archive: {error or type(error).__name__}"
        ) from error
    if missing:
        raise InputError(f"{path} is no archive of WordNet's dict/: it lacks {', '.join(sorted(missing))}")


def _pieces(file: Any) -> Iterable[bytes]:
    return iter(lambda: file.read(1 << 20), b"")


def _lmf_synsets(path: str, lang: str, tally: Tally) -> Iterator[list[str]]:
    """Yield the words of each synset of the lexicons of a language, by the synsets' ids."""
    synsets: dict[str, list[str]] = {}
    for lexicon in _lexicons(path, lang):
        for item in lexicon.get("entries", []):
            word = " ".join(item["lemma"]["writtenForm"].replace("_", " ").split())
            for sense in item.get("senses", []):
                synsets.setdefault(sense["synset"], []).append(word)
    if not synsets:
        raise InputError(f"{path} holds no sense of a word in language {lang!r}")
    for name in sorted(synsets):
        tally.keep(SYNSETS)
        yield synsets[name]


def _lexicons(path: str, lang: str) -> list[dict[str, Any]]:
    try:
        import wn.lmf
    except ImportError as error:
        raise missing("reading WN-LMF", "wn") from error
    with _local_copy(path) as file:
        try:
            lexicons: list[Any] = list(wn.lmf.load(file, progress_handler=None)["lexicons"])
        except (wn.lmf.LMFError, KeyError, ValueError, AttributeError) as error:
            raise InputError(f"{path} is not WN-LMF: {error or type(error).__name__}") from error
    languages = [_base_language(lexicon["language"]) for lexicon in lexicons]
    if lang not in languages:
        raise InputError(
            f"{path} has no lexicon of language {lang!r}; it has {', '.join(sorted(set(languages)))}"
        )
    return [lexicon for lexicon, own in zip(lexicons, languages, strict=True) if own == lang]


def _base_language(tag: str) -> str:
    base = tag.partition("-")[0].lower()
    return _LONG_CODES.get(base, base)


@contextmanager
def _local_copy(path: str) -> Iterator[Path]:
    """Lend a file of this machine with what an address holds, decompressed: `wn` reads only such."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "wordnet.xml"
        with copy.open("wb") as out:
            for piece in read_pieces(path):
                if isinstance(piece, Reason):
                    raise InputError(f"{path} is {piece.value}: it cannot be decompressed to its end")
                out.write(piece)
        yield copy
