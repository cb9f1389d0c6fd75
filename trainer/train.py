"""Stage `train`: a manifest and its shards into a contrastive model. `curate train --config run.toml`.

In: the run's `manifest/`, or the folder `train.manifest`; optionally a selection table. Out, in RUN/train: `final.pt`, `tokenizer.json`,
`open_clip_config.json`, `metrics.jsonl`, the last two checkpoints. Killed at any step and started again, it goes on from its last
checkpoint. Several processes: `torchrun --nproc-per-node 2 jobs/train.py --config run.toml`; process 0 writes, the others compute.
"""

import dataclasses
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.config import RunConfig
from curation.errors import Reason, StageError
from curation.extras import missing
from curation.removal_files import load_removals
from curation.removals import NO_REMOVALS
from curation.stage import (
    Ledger,
    OpenStage,
    Record,
    StageSpec,
    file_identity,
    locate,
    read_record,
    run_stage,
)
from trainer.manifest import (
    HELDOUT,
    MANIFEST,
    captions_of,
    files_digest,
    manifest_digest,
    read_rows,
    removal_digest,
    removed_pairs,
    training_rows,
    with_selection,
    without,
)
from trainer.selection import selection_place

if TYPE_CHECKING:
    from trainer.processes import Group

SPEC = StageSpec(name="train", section="train", version=1, reads=("manifest",), resumes=True)
PUBLISHED = ("final.pt", "tokenizer.json", "tokenizer_config.json", "open_clip_config.json")


def require_extra() -> None:
    """Raise MissingExtraError where torch or tokenizers is not installed."""
    lacking = [name for name in ("torch", "tokenizers") if find_spec(name) is None]
    if lacking:
        raise missing("training", *lacking)


def run(config: RunConfig) -> Record:
    """Run the stage in this process, which torchrun may have started beside others; each returns the record."""
    require_extra()
    from trainer.processes import joined

    with joined(config.train.device) as group:
        return _lead(config, group) if group.leads else _follow(config, group)


def _lead(config: RunConfig, group: "Group") -> Record:
    """Run the stage as process 0, and tell the others what becomes of it."""
    given = config.train.manifest
    spec = dataclasses.replace(SPEC, reads=()) if given else SPEC
    called = False

    def work(stage: OpenStage) -> None:
        nonlocal called
        called = True
        manifest = given or stage.input("manifest")
        digest = digests["manifest"] if given else stage.inputs["manifest"].digest
        group.share({"manifest": manifest, "digest": digest, "out": stage.path})
        _note(stage, _train(config, group, manifest, digest, stage.path), manifest)

    try:
        digests = {"manifest": manifest_digest(given)} if given else {}
        removed = _removed(config, given or locate(config, "manifest"))
        if len(removed):
            digests["removals"] = removal_digest(removed)
        if config.train.selection:
            digests["selection"] = files_digest(selection_place(config.train.selection))
        externals = [{"path": name, "sha256": digest} for name, digest in digests.items()]
        record = run_stage(config, spec, work, externals=externals)
    except Exception as error:
        if not called:
            group.share({"error": str(error)})
        raise
    group.share({"done": record.path} if called else {"skipped": record.path})
    return record


def _follow(config: RunConfig, group: "Group") -> Record:
    """Compute as another process than 0: what process 0 says."""
    said = group.share()
    if "error" in said:
        raise StageError(f"process 0 stopped: {said['error']}")
    if "skipped" in said:
        return dataclasses.replace(read_record(said["skipped"]), skipped=True)
    _train(config, group, said["manifest"], said["digest"], said["out"])
    return read_record(group.share()["done"])


def _train(config: RunConfig, group: "Group", manifest: Path, digest: str, out: Path) -> dict[str, Any]:
    """Read the rows and train; return the notes."""
    from trainer.loop import train

    sealed = read_rows(manifest)
    if config.train.selection:
        sealed = with_selection(sealed, config.train.selection, manifest)
    rows = without(sealed, _removed(config, manifest))
    held_out = pc.sum(pc.equal(rows["split"], HELDOUT)).as_py() or 0
    chosen = training_rows(rows)
    captions = captions_of(chosen, manifest)
    notes = train(config.train, captions, out, group, manifest_sha256=digest)
    counted = {"rows": len(sealed), "removed": len(sealed) - len(rows), "held_out": held_out}
    return counted | {"trained": len(chosen)} | notes


def _removed(config: RunConfig, manifest: Path) -> pa.Array:
    """Return the pairs of a manifest that the run's removal list names."""
    listed = load_removals(config.run.removals)
    return removed_pairs(manifest, listed if (manifest / MANIFEST).exists() else NO_REMOVALS)


def _note(stage: OpenStage, notes: dict[str, Any], manifest: Path) -> None:
    """Close the sums and note the results."""
    rows, removed, held_out, trained = (notes.pop(key) for key in ("rows", "removed", "held_out", "trained"))
    balanced_out = rows - removed - held_out - trained
    dropped = {Reason.REMOVED: removed, Reason.HELD_OUT: held_out, Reason.BALANCED_OUT: balanced_out}
    stage.add(
        Ledger(
            unit="captions", rows_in=rows, rows_out=trained, dropped={str(k): v for k, v in dropped.items()}
        )
    )
    failed = {str(Reason.UNDECODABLE_IMAGE): notes["decode_failures"]}
    pictures = notes["pictures"]
    stage.add(
        Ledger(unit="images", rows_in=pictures, rows_out=pictures - notes["decode_failures"], dropped=failed)
    )
    stage.notes |= notes | {"manifest": str(manifest)}
    for name in PUBLISHED:
        stage.add_file(name, str(file_identity(stage.path / name)["sha256"]))
