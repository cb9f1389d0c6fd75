"""Stage `metadata`: the frozen entry lists of a run, given or built from sources. Table out: entries. `curate metadata`.

Given lists, and the lists that the package brings, are frozen without Spark. A build takes numbers, WordNet, Wikipedia's unigrams
and bigrams, titles by page views, words and, last, what is given (Xu et al. 2023, section 3; MetaCLIP 2, 2025); dumps and
page views go through Spark (`curation.spark.ngrams`), all else is small and is read here.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.config import RunConfig
from curation.config_metadata import DEFAULT_LISTS, MetadataSection
from curation.inputs import InputFile, find_files
from curation.stage import OpenStage, Record, Tally, file_identity, run_stage
from metadata.entries import SPEC, UNIT, Entry, freeze, read_given, write_lists
from metadata.merge import Rules, merge, numbers
from metadata.plan import (
    PACKAGE,
    check_extra,
    check_sources,
    files_of,
    is_built,
    libraries,
    library_identities,
    packaged_place,
    source_patterns,
    versions_of,
)
from metadata.wordnet import read_wordnet
from metadata.words import read_words

if TYPE_CHECKING:
    from curation.spark.ngrams import LargeSources

HASHED_BYTES = 256 << 20  # local files up to this size are known by their hash, larger ones by size and time
LARGE = ("wikipedia", "pageviews")


@dataclass(frozen=True)
class SourceFile:
    """A file of a source."""

    source: str
    lang: str
    """Empty for page views, which hold all languages."""
    name: str
    """What the record calls it: never a place of this machine."""
    file: InputFile

    def external(self) -> dict[str, Any]:
        """Return what the record keeps of the file: its hash, or where that would cost too much, its size and time."""
        local = self.file.address.removeprefix("file://")
        small = local != self.file.address and (self.file.size or 0) <= HASHED_BYTES
        known = file_identity(Path(local)) if small else self.file.external()
        return known | {"source": self.source, "lang": self.lang, "path": self.name}


def run(config: RunConfig) -> Record:
    """Freeze the lists that are given, or build them. Raises InputError that names what cannot be opened."""
    section, languages = config.metadata, config.run.languages
    check_sources(section, languages)
    check_extra(section, languages)
    with _given_files(section) as given:
        externals = [file_identity(path) for path in given]
        if not is_built(section, languages):
            return run_stage(config, SPEC, lambda stage: _freeze(stage, given), externals=externals)
        files = list(find_sources(section, languages))
        parsers = library_identities(section, languages)
        externals = [*(file.external() for file in files), *parsers, *externals]
        return run_stage(config, SPEC, lambda stage: build(stage, files, given), externals=externals)


@contextmanager
def _given_files(section: MetadataSection) -> Iterator[list[Path]]:
    """Open the given lists, the package's own among them where they are asked for: it may lie in a zip."""
    with ExitStack() as opened:
        yield [_given_place(name, opened) for name in section.given()]


def _given_place(name: str, opened: ExitStack) -> Path:
    if name != DEFAULT_LISTS:
        return Path(name)
    from metadata.default import default_path

    return opened.enter_context(default_path())


def find_sources(section: MetadataSection, languages: Sequence[str]) -> Iterator[SourceFile]:
    """Yield the files of every source. Raises InputError that names the one which is missing or cannot be opened."""
    for source, lang, pattern in source_patterns(section, languages):
        place = packaged_place(pattern)  # of a source that lies in an installed package; else what was given
        files = find_files(files_of(place))
        for file in files:
            name = file.origin
            if place != pattern:
                name = pattern if len(files) == 1 else f"{pattern}/{file.origin}"
            yield SourceFile(source, lang, name, file)


def _freeze(stage: OpenStage, given: Sequence[Path]) -> None:
    tally = Tally()
    write_lists(stage, _read_given(given, stage, tally))
    stage.add(tally.of(UNIT))


def _read_given(given: Sequence[Path], stage: OpenStage, tally: Tally) -> dict[str, list[Entry]]:
    return freeze((e for path in given for e in read_given(path)), stage.config.run.languages, tally)


def build(
    stage: OpenStage,
    files: Sequence[SourceFile],
    given: Sequence[Path] = (),
    **split: int,
) -> None:
    """Build the list of each language and write them.

    files: of the sources. given: lists whose entries come last.
    split: partitions and streams_per_range, as `curation.spark.ngrams` knows them. The lists do not depend on it.
    """
    section, languages = stage.config.metadata, stage.config.run.languages
    tally = Tally()
    last = _read_given(given, stage, tally)
    large = _read_large(stage, files, **split) if any(file.source in LARGE for file in files) else None
    if large:
        tally.add_json(large.tally.to_json())
    lists = {}
    for lang in languages:
        parts = _parts(section, lang, large, tally) | {"given": last.get(lang, [])}
        rules = Rules.of(section, lang)
        lists[lang] = merge(parts, rules, tally)
        _note(stage, lang, lists[lang], large)
    write_lists(stage, lists)
    if large:
        large.discard()
    for unit in sorted(tally.ledgers):
        stage.add(tally.of(unit))
    stage.notes["sums"] = {name: tally.sums[name] for name in sorted(tally.sums)}
    stage.notes["libraries"] = versions_of(libraries(section, languages))


def _read_large(
    stage: OpenStage,
    files: Sequence[SourceFile],
    *,
    partitions: int | None = None,
    streams_per_range: int = 50,
) -> "LargeSources":
    """Sum the n-grams of the dumps and the views of titles on Spark."""
    from curation.spark.ngrams import LargeSources, plan_tasks
    from curation.spark.progress import watch
    from curation.spark.session import get_session

    section = stage.config.metadata
    views = [file.file.address for file in files if file.source == "pageviews"]
    tasks = plan_tasks(section, stage.config.run.languages, views, streams_per_range=streams_per_range)
    large = LargeSources(get_session(stage.config.spark), stage.path / "_staged", section)
    with watch(stage.spec.name):
        large.read(tasks, stage.config.run.languages, partitions=partitions)
    return large


def _parts(
    section: MetadataSection, lang: str, large: "LargeSources | None", tally: Tally
) -> dict[str, list[Entry]]:
    """Return what each source offers to a language's list, the large ones cut already."""
    cuts, named = section.cuts(lang), section.sources(lang)
    names = section.wordnet_names.get(lang, "lemmas")
    parts = {
        "number": numbers(lang, cuts.numbers),
        "wordnet": [
            entry
            for name in named.get("wordnet", ())
            for entry in read_wordnet(packaged_place(name), lang, tally, names=names)
        ],
    }
    if large and "wikipedia" in named:
        parts["unigram"] = large.unigrams(lang, cuts, _size(parts), tally.of("unigrams"))
        parts["bigram"] = large.bigrams(lang, cuts, _size(parts), tally.of("bigrams"))
    if large and "pageviews" in named:
        parts["title"] = large.titles(lang, cuts, _size(parts), tally.of("titles"))
    parts["word"] = [entry for name in named.get("words", ()) for entry in _words(name, lang, tally)]
    return parts


def _words(name: str, lang: str, tally: Tally) -> Iterator[Entry]:
    if not name.startswith(PACKAGE):
        return read_words(name, lang, tally)
    from metadata.packaged import read_packaged

    return read_packaged(name, lang, tally)


def _size(parts: dict[str, list[Entry]]) -> int:
    return sum(len(part) for part in parts.values())


def _note(stage: OpenStage, lang: str, entries: Sequence[Entry], large: "LargeSources | None") -> None:
    """Note what each source brought into a list, and by which cuts."""
    section = stage.config.metadata
    seen = large.notes.get(lang, {}) if large else {}
    kept: dict[str, int] = {}
    for entry in entries:
        kept[entry.source] = kept.get(entry.source, 0) + 1
    rows = {source: seen.get(source, {}) | {"kept": number} for source, number in kept.items()}
    stage.notes.setdefault("built", {})[lang] = {"cuts": asdict(section.cuts(lang)), "sources": rows}
