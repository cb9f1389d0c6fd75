"""What a build of the entry lists reads and needs, known before any work: files with what identifies them, and libraries."""

import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curation.config_metadata import DEFAULT_LISTS, MetadataSection
from curation.errors import ConfigError
from curation.extras import missing

PACKAGE = "package:"  # begins the name of a source inside an installed package
MODEL = "kiwipiepy_model"
# Of another version another list may come. msgpack and wn only hand over what a file holds, and the file's hash is kept.
DECIDING = frozenset({"kiwipiepy", MODEL, "mwparserfromhell"})
_LMF = (".xml", ".xml.gz", ".xml.xz")  # a WordNet that the package `wn` reads


def needed(section: MetadataSection, languages: Sequence[str]) -> dict[str, str]:
    """Return the modules of the extra that a build needs, each with the key of the configuration that asks for it."""
    found: dict[str, str] = {}
    for lang in languages:
        sources = section.sources(lang)
        if "wikipedia" in sources:
            found.setdefault("mwparserfromhell", f"metadata.wikipedia.{lang}")
            if lang == "ko":
                found.setdefault("kiwipiepy", f"metadata.wikipedia.{lang}")
        if any(path.endswith(_LMF) for path in sources.get("wordnet", ())):
            found.setdefault("wn", f"metadata.wordnet.{lang}")
        for name in sources.get("words", ()):
            for library in _libraries_of(name, lang):
                found.setdefault(library, f"metadata.words.{lang}")
    return found


def _libraries_of(name: str, lang: str) -> tuple[str, ...]:
    if not name.startswith(PACKAGE):
        return ()
    from metadata.packaged import libraries_of

    return libraries_of(name, lang)


def libraries(section: MetadataSection, languages: Sequence[str]) -> list[str]:
    """Return the distributions that a build uses, of which the record keeps the versions: with Kiwi, its model's too."""
    found = sorted(needed(section, languages))
    return [*found, MODEL] if "kiwipiepy" in found else found


def library_identities(section: MetadataSection, languages: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the stage's identity keeps of libraries: those that decide what a list holds, with their versions."""
    used = [name for name in libraries(section, languages) if name in DECIDING]
    return [{"path": name, "version": version} for name, version in versions_of(used).items()]


def check_extra(section: MetadataSection, languages: Sequence[str]) -> None:
    """Raise MissingExtraError, before any work, where a library that the build needs is not installed."""
    for module, key in needed(section, languages).items():
        if module not in sys.modules and find_spec(module) is None:
            raise missing(key, module)


def check_sources(section: MetadataSection, languages: Sequence[str]) -> None:
    """Raise ConfigError where lists are to be built and a language has neither a source nor a given list."""
    if section.given():
        return
    for lang in languages:
        if not section.sources(lang):
            raise ConfigError(
                f"no source is named for {lang!r}, and lists are built for the other languages: name one in "
                f"metadata.wikipedia.{lang}, metadata.wordnet.{lang}, metadata.words.{lang} or metadata.pageviews, "
                f'put "{DEFAULT_LISTS}" into metadata.entries, or leave {lang!r} out of run.languages'
            )


def is_built(section: MetadataSection, languages: Sequence[str]) -> bool:
    """Return whether lists are built from sources; else they are given."""
    return any(section.sources(lang) for lang in languages)


def source_patterns(section: MetadataSection, languages: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (source, language or "", pattern) of every source of the build, in the order of the configuration."""
    for lang in languages:
        for name, patterns in section.sources(lang).items():
            if name != "pageviews":
                yield from ((name, lang, pattern) for pattern in patterns)
    yield from (("pageviews", "", pattern) for pattern in section.pageviews)


def packaged_place(name: str) -> str:
    """Return where a source lies that an installed package holds; any other name as it is. Raises InputError."""
    if not name.startswith(PACKAGE):
        return name
    from metadata.packaged import local_path

    return local_path(name)


def files_of(pattern: str) -> list[str]:
    """Return what a pattern stands for: the files of a folder, such as WordNet's `dict`, else the pattern itself."""
    folder = Path(pattern)
    if folder.is_dir():
        return [str(path) for path in sorted(folder.iterdir()) if path.is_file()]
    return [pattern]


def versions_of(modules: Sequence[str]) -> dict[str, Any]:
    """Return the versions of libraries that decide what a build finds."""
    from importlib import metadata as distributions

    return {name: distributions.version(name) for name in modules}
