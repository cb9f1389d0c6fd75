"""What stands in entry lists, and what two of them differ in: the pure part of `curate metadata show` and `diff`.

Lists are read from a finished metadata stage, from a run that holds one, or from a file: Parquet with columns lang, entry and,
where there are, entry_id, source, score and sources; or text, an entry a line, named LANG.txt or LANG.SHA.txt.
"""

import heapq
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import InputError

Sources = tuple[tuple[str, float | None], ...]
Row = tuple[str, int | None, str, Sources]
_COLUMNS = ("lang", "entry", "entry_id", "source", "score", "sources")


class Listed(NamedTuple):
    """An entry as it stands in a list."""

    lang: str
    entry_id: int
    entry: str
    sources: Sources
    """Each source with its score, the one that brought it first; empty where the list does not say."""

    @property
    def source(self) -> str:
        """The source that brought it in; "given" where the list does not say."""
        return self.sources[0][0] if self.sources else "given"


Lists = dict[str, dict[str, Listed]]
"""By language, the entries by their text, in order of their ids."""


def read_lists(place: Path) -> Lists:
    """Read the lists of a stage's directory with its table `entries`, or of one file. Raises InputError that names it."""
    rows: Iterator[Row]
    if (place / "entries").is_dir():
        rows = (row for file in sorted((place / "entries").glob("*.parquet")) for row in _parquet_rows(file))
    elif place.suffix == ".txt" and place.is_file():
        rows = _text_rows(place)
    elif place.is_file():
        rows = _parquet_rows(place)
    else:
        raise InputError(
            f"{place} holds no entry lists; give a run, its metadata folder, a Parquet file or LANG.txt"
        )
    return _by_language(rows)


def _by_language(rows: Iterable[Row]) -> Lists:
    """Return the lists in order of ids; where a file has none, the position among its language's distinct entries."""
    lists: Lists = {}
    for lang, entry_id, entry, sources in rows:
        own = lists.setdefault(lang, {})
        text = unicodedata.normalize("NFC", entry)
        if text not in own:
            own[text] = Listed(lang, len(own) if entry_id is None else entry_id, text, sources)
    return {
        lang: dict(sorted(own.items(), key=lambda item: item[1].entry_id))
        for lang, own in sorted(lists.items())
    }


def _text_rows(path: Path) -> Iterator[Row]:
    lang = path.name.partition(".")[0]
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the entry list {path} as UTF-8 text: {error}") from error
    return ((lang, None, line, ()) for line in lines if line)


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"the entry list {path} is neither Parquet nor a .txt file: {error}") from error
    with file:
        names = file.schema_arrow.names
        lacking = [name for name in ("lang", "entry") if name not in names]
        if lacking:
            raise InputError(f"the entry list {path} lacks column {lacking[0]!r}; it has {', '.join(names)}")
        for batch in file.iter_batches(columns=[name for name in _COLUMNS if name in names]):
            columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
            absent = [None] * batch.num_rows
            yield from (
                (lang, entry_id, entry, _sources(source, score, sources))
                for lang, entry, entry_id, source, score, sources in zip(
                    *(columns.get(name, absent) for name in _COLUMNS), strict=True
                )
                if lang is not None and entry is not None
            )


def _sources(source: str | None, score: float | None, sources: list[dict[str, Any]] | None) -> Sources:
    if sources:
        return tuple((item["source"], item["score"]) for item in sources)
    return ((source, score),) if source else ()


@dataclass(frozen=True, kw_only=True)
class ListDiff:
    """What the lists of one language differ in."""

    lang: str
    size_a: int
    size_b: int
    only_a: list[Listed] = field(default_factory=list)
    only_b: list[Listed] = field(default_factory=list)
    moved: list[tuple[Listed, Listed]] = field(default_factory=list)
    """In both, in another place among those in both: the fewest that, taken out, leave one order."""
    shifted: int = 0
    """In both with another id only because entries before them came, went or moved."""
    resourced: list[tuple[Listed, Listed]] = field(default_factory=list)
    """In both, from other sources, where both lists name sources."""
    rescored: list[tuple[Listed, Listed]] = field(default_factory=list)
    """In both, from the same sources with other scores."""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.only_a or self.only_b or self.moved or self.resourced or self.rescored)


def diff_lists(a: Lists, b: Lists) -> list[ListDiff]:
    """Return what two sets of lists differ in, a language each."""
    return [_diff(lang, a.get(lang, {}), b.get(lang, {})) for lang in sorted({*a, *b})]


def _diff(lang: str, a: Mapping[str, Listed], b: Mapping[str, Listed]) -> ListDiff:
    shared = [(item, b[text]) for text, item in a.items() if text in b]
    stays = _increasing([other.entry_id for _, other in shared])
    known = [(item, other) for item, other in shared if item.sources and other.sources]
    names = [({s for s, _ in item.sources}, {s for s, _ in other.sources}) for item, other in known]
    return ListDiff(
        lang=lang,
        size_a=len(a),
        size_b=len(b),
        only_a=[item for text, item in a.items() if text not in b],
        only_b=[item for text, item in b.items() if text not in a],
        moved=[pair for n, pair in enumerate(shared) if n not in stays],
        shifted=sum(
            1 for n, (item, other) in enumerate(shared) if n in stays and item.entry_id != other.entry_id
        ),
        resourced=[pair for pair, (mine, theirs) in zip(known, names, strict=True) if mine != theirs],
        rescored=[
            (item, other)
            for (item, other), (mine, theirs) in zip(known, names, strict=True)
            if mine == theirs and dict(item.sources) != dict(other.sources)
        ],
    )


def _increasing(numbers: Sequence[int]) -> set[int]:
    """Return the positions of a longest increasing subsequence of distinct numbers. O(n log n)."""
    ends: list[int] = []  # smallest last number of an increasing subsequence of each length
    at: list[int] = []  # the position of that number
    before: list[int] = []  # of each position, the one before it in the subsequence that ends there
    for position, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(at[length - 1] if length else -1)
        if length == len(ends):
            ends.append(number)
            at.append(position)
        else:
            ends[length], at[length] = number, position
    found = set()
    position = at[-1] if at else -1
    while position >= 0:
        found.add(position)
        position = before[position]
    return found


class Near(NamedTuple):
    """An entry that is not the text that was asked for, and how it is near."""

    how: str
    """case, spacing, form (width, composition), spelling (several of these) or contains."""
    listed: Listed


def find_entry(lists: Lists, text: str) -> list[Listed]:
    """Return the entries that are exactly the text, composed (NFC) as lists are; one a language at the most."""
    wanted = unicodedata.normalize("NFC", text)
    return [own[wanted] for own in lists.values() if wanted in own]


def find_near(lists: Lists, text: str, limit: int) -> list[Near]:
    """Return up to `limit` entries near the text: those of other case, spacing or form, then those that contain it.

    Of those that contain it, whole words come first, then the shortest. Raises InputError for a text without characters.
    """
    folded = _folded(text)
    if not folded:
        raise InputError("the text to look for is empty")
    wanted = unicodedata.normalize("NFC", text)
    listed = [(item, _folded(item.entry)) for own in lists.values() for item in own.values()]
    alike = [Near(_how(wanted, item.entry), item) for item, other in listed if other == folded]
    alike = sorted((n for n in alike if n.listed.entry != wanted), key=lambda n: (n.how, n.listed))[:limit]
    containing = (
        ((f" {wanted} " not in f" {item.entry} ", len(item.entry), item.lang, item.entry_id), item)
        for item, other in listed
        if folded in other and other != folded
    )
    nearest = heapq.nsmallest(limit - len(alike), containing)
    return alike + [Near("contains", item) for _, item in nearest]


def _folded(text: str) -> str:
    """Return the text without what two spellings of one entry differ in: width, composition, case, spaces, hyphens."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in folded if not c.isspace() and c not in "-_\u00b7\u2010\u2011\u2013")


def _how(text: str, entry: str) -> str:
    if text.casefold() == entry.casefold():
        return "case"
    if "".join(text.split()) == "".join(entry.split()):
        return "spacing"
    if unicodedata.normalize("NFKC", text) == unicodedata.normalize("NFKC", entry):
        return "form"
    return "spelling"
