"""A stage is a directory: written once, its record `_stage.json` written last as the commit.

`run_stage` is the only way a stage is run. It skips one whose record matches, refuses one that another configuration
or input made, removes the rest of a killed run, and closes every stage's sum: in = out + dropped + merged.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata as distributions
from pathlib import Path
from typing import Any

from curation.canonical import as_record, sha256_json
from curation.config import RunConfig
from curation.errors import InputError, Reason, StageError
from curation.schemas import SCHEMA_VERSION

RECORD = "_stage.json"
BEGUN = "_begun.json"  # what a stage at work was begun with: the mark of a directory of ours
SEAL = "sha256"  # of a record: the hash of the rest of it; records before this key have none
TAKEN = "_taken.json"  # where a stage of the parent run lies that serves as this one
_LIBRARIES = (
    "bicurate",
    "pyspark",
    "pyarrow",
    "numpy",
    "img2dataset",
    "faiss-cpu",
    "faiss-gpu",
    "torch",
    "tokenizers",
)


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """What the machinery must know of a stage."""

    name: str
    """Its directory under the run."""
    section: str | None
    """Its section of the configuration, of which the hash is taken."""
    version: int
    """Raised when the same input and configuration would give another result."""
    reads: tuple[str, ...] = ()
    """Stages whose output it reads."""
    run_keys: tuple[str, ...] = ()
    """Keys of [run] that it depends on."""
    ignores: tuple[str, ...] = ()
    """Keys of its section that do not change its result: they are another stage's, which shares the section."""
    resumes: bool = False
    """An unfinished directory is kept and handed to the stage again, if begun with the same configuration."""


@dataclass(kw_only=True)
class Ledger:
    """The sum of one unit of a stage: rows_in = rows_out + the sum of dropped + merged."""

    unit: str
    """What is counted: records, candidates, pairs, urls, images, captions, ..."""
    rows_in: int
    rows_out: int
    dropped: dict[str, int] = field(default_factory=dict)
    """Rows by `Reason`."""
    merged: int = 0
    """Rows that went into another row: the same pair twice, the same caption of one picture."""

    def close(self) -> None:
        """Raise StageError unless the sum closes and every reason is of the enum."""
        for reason in self.dropped:
            Reason(reason)
        total = self.rows_out + sum(self.dropped.values()) + self.merged
        if total != self.rows_in:
            raise StageError(
                f"{self.unit}: {self.rows_in} in, but {self.rows_out} out + {sum(self.dropped.values())} dropped "
                f"+ {self.merged} merged = {total}; rows were lost or doubled"
            )

    def as_json(self) -> dict[str, Any]:
        """Return the ledger as it stands in the record, reasons sorted, zeros left out."""
        dropped = {
            str(reason): self.dropped[reason] for reason in sorted(self.dropped) if self.dropped[reason]
        }
        return {
            "unit": self.unit, "in": self.rows_in, "out": self.rows_out, "dropped": dropped, "merged": self.merged,
        }  # fmt: skip


class Tally:
    """Ledgers a task keeps while it works, a unit each; tallies of tasks add up."""

    def __init__(self) -> None:
        self.ledgers: dict[str, Ledger] = {}
        self.sums: dict[str, int] = {}

    def of(self, unit: str) -> Ledger:
        """Return the ledger of a unit, new at its first mention."""
        return self.ledgers.setdefault(unit, Ledger(unit=unit, rows_in=0, rows_out=0))

    def keep(self, unit: str, rows: int = 1) -> None:
        """Count rows that came in and stay."""
        ledger = self.of(unit)
        ledger.rows_in += rows
        ledger.rows_out += rows

    def drop(self, unit: str, reason: Reason, rows: int = 1) -> None:
        """Count rows that came in and leave for a reason."""
        ledger = self.of(unit)
        ledger.rows_in += rows
        ledger.dropped[reason] = ledger.dropped.get(reason, 0) + rows

    def add(self, name: str, amount: int) -> None:
        """Add to a sum beside the ledgers: whole numbers only, so that the order of tasks does not matter."""
        self.sums[name] = self.sums.get(name, 0) + amount

    def to_json(self) -> str:
        """Return the tally as text, for a row of its own in a task's output."""
        return json.dumps(
            {"ledgers": [ledger.as_json() for ledger in self.ledgers.values()], "sums": self.sums}
        )

    def add_json(self, text: str) -> None:
        """Add another task's tally."""
        given = json.loads(text)
        for name, amount in given["sums"].items():
            self.add(name, amount)
        for other in given["ledgers"]:
            ledger = self.of(other["unit"])
            ledger.rows_in += other["in"]
            ledger.rows_out += other["out"]
            ledger.merged += other["merged"]
            for reason, rows in other["dropped"].items():
                ledger.dropped[reason] = ledger.dropped.get(reason, 0) + rows


@dataclass(frozen=True)
class Record:
    """A committed stage, as read from its `_stage.json`."""

    path: Path
    """The stage's directory."""
    data: dict[str, Any]
    skipped: bool = False
    """The stage had been done before."""

    @property
    def name(self) -> str:
        """The stage's name."""
        return str(self.data["stage"])

    @property
    def notes(self) -> dict[str, Any]:
        """What the stage says of its result: thresholds, seeds of sub-steps, the path that was taken."""
        return dict(self.data["notes"])

    @property
    def ledgers(self) -> list[dict[str, Any]]:
        """The sums of its units."""
        return list(self.data["ledgers"])

    @property
    def digest(self) -> str:
        """Hash of what the stage wrote: later stages stand on this."""
        return sha256_json({"stage": self.name, "tables": self.data["tables"], "files": self.data["files"]})


class OpenStage:
    """A stage at work: where to write, what to read, and what to note in the record."""

    def __init__(self, config: RunConfig, spec: StageSpec, path: Path, inputs: Mapping[str, Record]) -> None:
        self.config = config
        self.spec = spec
        self.path = path
        self.inputs = dict(inputs)
        self.ledgers: list[Ledger] = []
        self.notes: dict[str, Any] = {}
        self.tables: dict[str, dict[str, Any]] = {}
        self.files: dict[str, str] = {}

    def input(self, stage: str) -> Path:
        """Return the directory of a stage that this one reads."""
        return self.inputs[stage].path

    def add(self, ledger: Ledger) -> None:
        """Close a ledger and keep it for the record."""
        ledger.close()
        self.ledgers.append(ledger)

    def add_table(self, name: str, *, rows: int, digest: str) -> None:
        """Note a written table: its rows and an order-free digest of them."""
        self.tables[name] = {"rows": rows, "digest": digest}

    def add_file(self, name: str, sha256: str) -> None:
        """Note a written file by its hash."""
        self.files[name] = sha256


def locate(config: RunConfig, stage: str) -> Path:
    """Return the directory of a stage: the run's own, or the parent's where `run_stage` found that its record matches."""
    own = config.run.path / stage
    if (own / TAKEN).is_file():
        return Path(os.path.normpath(own / json.loads((own / TAKEN).read_text())["stage"]))
    return own


def read_record(path: Path) -> Record:
    """Read the record of a stage's directory. Raises StageError where there is none."""
    try:
        return Record(path, json.loads((path / RECORD).read_text()))
    except FileNotFoundError:
        raise StageError(f"{path} holds no finished stage; run 'curate {path.name}' first") from None


def identity(
    config: RunConfig, spec: StageSpec, inputs: Mapping[str, Record], externals: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what decides a stage's result: equal identities, equal results."""
    section = as_record(getattr(config, spec.section)) if spec.section else {}
    decides = {key: value for key, value in section.items() if key not in spec.ignores}
    shared = as_record(config.run)
    return {
        "version": spec.version,
        "schema_version": SCHEMA_VERSION,
        "config": decides | {f"run.{key}": shared[key] for key in spec.run_keys},
        "inputs": {name: record.digest for name, record in inputs.items()},
        "externals": [dict(item) for item in externals],
    }


def run_stage(
    config: RunConfig,
    spec: StageSpec,
    work: Callable[[OpenStage], None],
    *,
    externals: Sequence[Mapping[str, Any]] = (),
) -> Record:
    """Run a stage unless it is done, and commit it.

    externals: inputs from outside the run, each with path, size and time (or etag).
    Raises StageError where an input is missing, where the directory holds a stage made with another configuration or input
    and `on_existing` is "fail", and where a sum does not close.
    """
    inputs = {name: read_record(locate(config, name)) for name in spec.reads}
    wanted = identity(config, spec, inputs, externals)
    path = config.run.path / spec.name
    done = _finished(path, wanted, config) or _taken(path, wanted, config)
    if done:
        return done
    _prepare(path, spec, wanted)
    stage = OpenStage(config, spec, path, inputs)
    started = time.monotonic()
    work(stage)
    data = {"stage": spec.name} | wanted | {
        "config_hash": sha256_json(wanted["config"]),
        "tables": stage.tables,
        "files": stage.files,
        "ledgers": [ledger.as_json() for ledger in stage.ledgers],
        "notes": stage.notes,
        "settings": as_record(getattr(config, spec.section), with_runtime=True) if spec.section else {},
        "seconds": round(time.monotonic() - started, 3),
        "versions": versions(),
    }  # fmt: skip
    write_atomically(path / RECORD, sealed(data))
    (path / BEGUN).unlink(missing_ok=True)
    return read_record(path)


def sealed(data: Mapping[str, Any]) -> str:
    """Return a record's text: canonical, with the SHA-256 of the rest of it, so that any changed byte is seen."""
    whole = json.loads(json.dumps({key: value for key, value in data.items() if key != SEAL}))
    seal = hashlib.sha256(_text_of(whole).encode()).hexdigest()
    return _text_of(whole | {SEAL: seal})


def _text_of(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _difference(path: Path, wanted: Mapping[str, Any]) -> tuple[Record, str | None]:
    record = read_record(path)
    return record, _first_difference({key: record.data.get(key) for key in wanted}, dict(wanted))


def _finished(path: Path, wanted: Mapping[str, Any], config: RunConfig) -> Record | None:
    """Return the run's own record if it matches; make way for a new stage, or refuse, if it does not."""
    if not (path / RECORD).is_file():
        return None
    record, differing = _difference(path, wanted)
    if differing is None:
        return Record(path, record.data, skipped=True)
    if config.run.on_existing == "overwrite":
        # In this order a kill at any point leaves what is known to be unfinished, and ours.
        write_atomically(path / BEGUN, "{}")
        (path / RECORD).unlink()
        return None
    raise StageError(
        f"{path} was made with another {differing}; pass --on-existing overwrite to make it again, "
        f"or another --path to keep both"
    )


def _taken(path: Path, wanted: Mapping[str, Any], config: RunConfig) -> Record | None:
    """Return the parent's record if it matches, and note in the run that it serves."""
    parent = config.run.parent / path.name if config.run.parent else None
    if parent is None or not (parent / RECORD).is_file() or (path / BEGUN).is_file():
        return None
    record, differing = _difference(parent, wanted)
    if differing is not None:
        return None
    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path / TAKEN, json.dumps({"stage": os.path.relpath(parent, path)}))
    return Record(parent, record.data, skipped=True)


def _first_difference(old: Any, new: Any, where: str = "") -> str | None:
    """Return "key: old, now new" of the first difference, or None."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            found = _first_difference(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
            if found:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        named = [item.get("path", n) if isinstance(item, dict) else n for n, item in enumerate(new)]
        return _first_difference(
            dict(zip(map(str, named), old, strict=True)), dict(zip(map(str, named), new, strict=True)), where
        )
    if old == new:
        return None
    return f"{where} ({_short(old)} then, {_short(new)} now)"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _prepare(path: Path, spec: StageSpec, wanted: Mapping[str, Any]) -> None:
    """Make the directory; of a killed run, keep only what a resuming stage began with the same identity.

    Raises StageError where the directory holds something that no stage of ours began.
    """
    begun = path / BEGUN
    same = begun.is_file() and json.loads(begun.read_text()) == wanted
    if path.exists() and not (spec.resumes and same):
        if any(path.iterdir()) and not begun.is_file() and not (path / TAKEN).is_file():
            raise StageError(f"{path} holds something that is no stage of a run; choose another --path")
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    if not begun.is_file():
        write_atomically(begun, json.dumps(wanted))


def write_atomically(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it: a reader sees all of it or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex. Raises InputError that names it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def file_identity(path: Path) -> dict[str, str | int]:
    """Return what identifies an input file that is read whole: its name, size and SHA-256. Raises InputError."""
    sha256 = file_sha256(path)
    return {"path": path.name, "size": path.stat().st_size, "sha256": sha256}


def versions() -> dict[str, str]:
    """Return the versions of what computes: Python, the machine's type and the libraries that are installed."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "platform": sys.platform}
    for name in _LIBRARIES:
        try:
            found[name] = distributions.version(name)
        except distributions.PackageNotFoundError:
            continue
    return found
