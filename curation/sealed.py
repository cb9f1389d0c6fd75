"""Sealed manifests, and what they were drawn with: what another selection from them must know. Used by `curate balance --manifest`.

A manifest travels alone: its folder is enough. Its record says what it was drawn with; where that was not noted yet, the run it
lies in does; where neither is there, it is not known, and said so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from curation.canonical import sha256_json
from curation.config import RunConfig, RunSection
from curation.config_balance import BalanceSection
from curation.errors import ConfigError, InputError
from curation.manifest import MANIFEST
from curation.shards import UID_SINCE
from curation.stage import BEGUN, RECORD, Record, file_sha256, locate, read_record

DRAWN = "drawn_with"  # the note in a manifest's record
_SOURCES = ("metadata", "balance", "balance-survivors", "count-survivors")


@dataclass(frozen=True)
class Sealed:
    """A manifest's folder, as far as it is known without reading its rows."""

    folder: Path
    digest: str
    """Hash of what it holds."""
    languages: tuple[str, ...]
    """Languages of its run, in their order; none where they are not known."""
    drawn: dict[str, Any]
    """What it was drawn with, see `drawn_with`; empty where that is not known."""
    has_uids: bool | None = None
    """Samples of its shards have a uid, see `curation.shards`; None where that is not known."""

    @property
    def section(self) -> BalanceSection | None:
        """The balance of the run's own selection."""
        return section_of(self.drawn["balance"]) if "balance" in self.drawn else None


def drawn_with(config: RunConfig) -> dict[str, Any]:
    """Return what a run's manifest is drawn with: seed, entry lists by sha256, balance, t with the margin, runs it extends.

    Empty where the run lacks one of the stages that say so.
    """
    places = {name: locate(config, name) for name in _SOURCES}
    if not all((place / RECORD).is_file() for place in places.values()):
        return {}
    metadata, first, second, counted = (read_record(places[name]) for name in _SOURCES)
    options = {key: value for key, value in second.data["config"].items() if not key.startswith("run.")}
    margin = float(first.notes["margin"])
    return {
        "seed": first.data["config"]["run.seed"],
        "lists": {lang: note["sha256"] for lang, note in sorted(metadata.notes["lists"].items())},
        "balance": options,
        "downloaded_for": {lang: _number(margin * float(t)) for lang, t in sorted(first.notes["t"].items())},
        "earlier": [note["run"] for note in counted.notes.get("earlier", ())],
    }


def open_sealed(folder: Path) -> Sealed:
    """Return a manifest. Raises InputError where the folder holds none, or one that is not finished."""
    if not (folder / MANIFEST).exists():
        raise InputError(f"{folder} holds no {MANIFEST}; give the folder that 'curate manifest' wrote")
    if (folder / RECORD).is_file():
        record = read_record(folder)
        languages = tuple(record.data["config"].get("run.languages", ()))
        drawn = record.notes.get(DRAWN) or _of_its_run(folder, record)
        version = record.data.get("version")
        has_uids = version >= UID_SINCE if isinstance(version, int) else None
        return Sealed(folder, record.digest, languages, drawn, has_uids)
    if (folder / BEGUN).is_file():
        raise InputError(f"{folder} holds a manifest that is not finished; run 'curate manifest' again")
    files = (
        sorted((folder / MANIFEST).glob("*.parquet")) if (folder / MANIFEST).is_dir() else [folder / MANIFEST]
    )
    hashes = {file.name: file_sha256(file) for file in files}
    return Sealed(folder, sha256_json(hashes), (), {})


def same_for_all(manifests: Sequence[Sealed]) -> None:
    """Raise ConfigError unless ids of entries mean the same in all manifests, and one coin drew all, as far as that is known.

    Of two coins, a pair that both might have drawn and one did would have another chance than its row says.
    """
    seeds = {item.drawn["seed"]: item.folder for item in manifests if "seed" in item.drawn}
    if len(seeds) > 1:
        named = ", ".join(f"{folder} with seed {seed}" for seed, folder in sorted(seeds.items()))
        raise ConfigError(f"the manifests were drawn by different coins ({named}): select from each alone")
    known = [(item.folder, item.drawn["lists"]) for item in manifests if "lists" in item.drawn]
    for folder, lists in known[1:]:
        first, expected = known[0]
        for lang in sorted({*lists, *expected}):
            if lists.get(lang) != expected.get(lang):
                raise ConfigError(
                    f"{folder} was matched with another entry list {lang} ({_short(lists.get(lang))}) than {first} "
                    f"({_short(expected.get(lang))}): their counts do not add up; select from each alone"
                )


def section_of(record: Mapping[str, Any]) -> BalanceSection:
    """Return the section [balance] that a record holds: infinite numbers stand in it as text."""
    known = {f.name for f in fields(BalanceSection)}
    given = {key: value for key, value in record.items() if key in known}
    for key in ("t", "budget"):
        if key in given:
            given[key] = {lang: float(value) for lang, value in given[key].items()}
    return BalanceSection(**given)


def _of_its_run(folder: Path, record: Record) -> dict[str, Any]:
    """Return what the run says that a manifest lies in, if it is the run that sealed it."""
    config = RunConfig(run=RunSection(path=folder.parent))
    selected = locate(config, "balance-survivors")
    if not (selected / RECORD).is_file():
        return {}
    same = read_record(selected).digest == record.data["inputs"].get("balance-survivors")
    return drawn_with(config) if same else {}


def _number(value: float) -> float | str:
    return str(value) if value == float("inf") else value


def _short(sha256: str | None) -> str:
    return sha256[:12] if sha256 else "none"
