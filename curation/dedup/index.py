"""The index of a crawl: what a later one must be compared with, so that it never has what an earlier one published.

`RUN/dedup/index/` is whole by itself: `index.json` (kind, centroids, settings, epoch, the indexes it stands on), `centroids.npy`,
`vectors` by cell with the `descriptors` of their pictures, and `members`, every picture that the crawl described with what it
joined. Under `mis` the vectors are the survivors', under `dominated` the dropped ones' too, since they drop others. An index holds
its own crawl alone: `curate dedup --against FIRST SECOND ...` names all of a chain, oldest first.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.config_dedup import DedupSection
from curation.errors import ConfigError, InputError

FOLDER, RECORD = "index", "index.json"
CENTROIDS, MEMBERS, VECTORS, DESCRIPTORS = "centroids.npy", "members", "vectors", "descriptors"
_KEYS = ("earlier", "kind_sha256", "centroids_sha256", "settings")  # that index.json must have
RULES = ("mis", "dominated")  # under which the answer of crawl after crawl is that of all at once
VERSION = 1


@dataclass(frozen=True)
class Index:
    """An index of an earlier crawl."""

    path: Path
    data: dict[str, Any]
    """What index.json says."""
    sha256: str
    """Of index.json, which names all the rest by its hash or digest."""

    def place(self, name: str) -> Path:
        """Return where a part of it lies."""
        return self.path / name


def open_chain(paths: Sequence[Path]) -> tuple[Index, ...]:
    """Return the indexes of a chain, oldest first; none for no path. A run's directory stands for the index in it.

    Raises InputError for a path that holds no index, ConfigError where one does not stand on just those before it.
    """
    chain: list[Index] = []
    for path in paths:
        index = _opened(path)
        wanted, given = [one.sha256 for one in chain], list(index.data["earlier"])
        if wanted != given:
            told = ", ".join(str(one.path) for one in chain) or "none"
            raise ConfigError(
                f"index {index.path} was made against {len(given)} earlier ones ({_short(given)}), and before it stand "
                f"{len(chain)} here ({told}: {_short(wanted)}): name all indexes of one chain, oldest first"
            )
        chain.append(index)
    return tuple(chain)


def _opened(path: Path) -> Index:
    places = (path, path / FOLDER, path / "dedup" / FOLDER)
    folder = next((place for place in places if (place / RECORD).is_file()), None)
    if folder is None:
        raise InputError(f"{path} holds no index: give RUN/dedup/index of an earlier run, or that run")
    text = (folder / RECORD).read_bytes()
    try:
        data = json.loads(text)
        version = data["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / RECORD} is not the record of an index: {error}") from error
    if version != VERSION:
        raise InputError(
            f"{folder / RECORD} is of version {version}, this is bicurate with version {VERSION}"
        )
    absent = [key for key in _KEYS if key not in data]
    if absent:
        raise InputError(f"{folder / RECORD} is not the record of an index: it lacks {', '.join(absent)}")
    for name in (CENTROIDS, MEMBERS, VECTORS, DESCRIPTORS):
        if not (folder / name).exists():
            raise InputError(f"index {folder} lacks {name}: it was not copied whole")
    return Index(folder, data, hashlib.sha256(text).hexdigest())


def _short(hashes: Sequence[str]) -> str:
    return " ".join(one[:12] for one in hashes) or "-"


def check_same(chain: Sequence[Index], found: dict[str, str]) -> None:
    """Raise ConfigError, naming the index and what differs, unless kind_sha256 and centroids_sha256 are all the same."""
    for index in chain:
        for key, value in found.items():
            if index.data[key] != value:
                raise ConfigError(
                    f"index {index.path} has {key} {index.data[key]}, this run {value}: descriptors of two kinds, or cells of "
                    f"two k-means, cannot be compared; take the embed.kind and the cells of the index, or leave it out"
                )


def check_searched(chain: Sequence[Index], outside: Sequence[Mapping[str, Any]]) -> None:
    """Raise ConfigError unless these are the indexes that the search compared with. outside: the externals of its record."""
    given = [index.sha256 for index in chain]
    searched = [str(item["sha256"]) for item in outside if str(item.get("path")).startswith("index ")]
    if given != searched:
        raise ConfigError(
            f"neighbours.against names {len(given)} indexes ({_short(given)}), the search was made against {len(searched)} "
            f"({_short(searched)}): name the same, or run 'curate neighbours --on-existing overwrite'"
        )


def check_settings(chain: Sequence[Index], section: DedupSection) -> None:
    """Raise ConfigError where the rule knows no earlier crawl, or where the indexes were made with other settings."""
    if not chain:
        return
    if section.rule not in RULES:
        raise ConfigError(
            f"dedup.rule is {section.rule!r} and neighbours.against names an index: one new picture may tie two old groups "
            f"together, of which both survivors are published; take {' or '.join(RULES)}"
        )
    for index in chain:
        for key, value in settings(section).items():
            if index.data["settings"].get(key) != value:
                raise ConfigError(
                    f"index {index.path} was made with dedup.{key} {index.data['settings'].get(key)!r}, this run has {value!r}: "
                    f"the answer would not be that of all crawls at once; take the index's"
                )


def settings(section: DedupSection) -> dict[str, Any]:
    """Return the settings that all crawls of a chain share, for index.json."""
    return {"rule": section.rule, "threshold": section.threshold, "rank": list(section.rank)}


def externals(chain: Sequence[Index]) -> list[dict[str, Any]]:
    """Return the indexes as inputs from outside the run, by content."""
    return [{"path": f"index {epoch}", "sha256": index.sha256} for epoch, index in enumerate(chain)]
