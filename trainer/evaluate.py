"""Stage `evaluate`: what a model retrieves and classifies on the held-out pictures, in each language. `curate evaluate --config run.toml`.

In: `final.pt` with its `tokenizer.json` (RUN/train, or `evaluate.checkpoint`), and the held-out rows of a manifest (the run's, or
`evaluate.manifest`, or `train.manifest`). Out: RUN/evaluate/evaluate.json, whose content stands in the record's notes too:

    {"retrieval": {"en": {"items", "texts", "images", "image_to_text": {"R@1", "R@5", "R@10"}, "text_to_image": {...},
                          "chance": {"image_to_text": {...}, "text_to_image": {...}}}, "ko": ...},
     "zero_shot": {SET: {"en": {"items", "classes", "accuracy", "chance"}, "ko": ...}},
     "gap": en minus ko: {"retrieval": {"image_to_text": {...}, ...}, "zero_shot": {SET: accuracy}}, "pictures", "decode_failures"}

What counts as right is defined in `trainer.retrieval` and `trainer.classes`.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.config import RunConfig
from curation.errors import InputError, Reason
from curation.ids import coins
from curation.removal_files import load_removals
from curation.removals import NO_REMOVALS
from curation.stage import (
    Ledger,
    OpenStage,
    Record,
    StageSpec,
    file_identity,
    locate,
    run_stage,
    write_atomically,
)
from trainer.classes import classify, load_classes, truth_file, truth_of_pictures
from trainer.manifest import (
    HELDOUT,
    MANIFEST,
    Captions,
    captions_of,
    manifest_digest,
    read_rows,
    removal_digest,
    removed_pairs,
    without,
)
from trainer.retrieval import Gallery, difference, evaluate_gallery
from trainer.train import require_extra

if TYPE_CHECKING:
    from trainer.encode import Encoder

SPEC = StageSpec(name="evaluate", section="evaluate", version=1, reads=("train", "manifest"))
RESULT = "evaluate.json"


def run(config: RunConfig) -> Record:
    """Run the stage."""
    require_extra()
    section = config.evaluate
    manifest = section.manifest or config.train.manifest
    given = {"train": section.checkpoint, "manifest": manifest}
    spec = dataclasses.replace(SPEC, reads=tuple(name for name in SPEC.reads if not given[name]))
    files = [file for path in section.classes for file in (path, truth_file(path))]
    externals = [
        file_identity(path) for path in (*files, *([section.checkpoint] if section.checkpoint else []))
    ]
    if manifest:
        externals.append({"path": "manifest", "sha256": manifest_digest(manifest)})
    place = manifest or locate(config, "manifest")
    listed = load_removals(config.run.removals)
    removed = removed_pairs(place, listed if (place / MANIFEST).exists() else NO_REMOVALS)
    if len(removed):
        externals.append({"path": "removals", "sha256": removal_digest(removed)})

    def work(stage: OpenStage) -> None:
        found = evaluate_checkpoint(
            section.checkpoint or stage.input("train") / "final.pt",
            manifest or stage.input("manifest"),
            max_items=section.max_items,
            classes=section.classes,
            batch_size=section.batch_size,
            device=config.train.device,
            threads=config.train.threads,
            removed=removed,
        )
        if "captions" in found:
            stage.add(Ledger(**found.pop("captions")))
        failed = {str(Reason.UNDECODABLE_IMAGE): found["decode_failures"]}
        kept = found["pictures"] - found["decode_failures"]
        stage.add(Ledger(unit="images", rows_in=found["pictures"], rows_out=kept, dropped=failed))
        write_atomically(
            stage.path / RESULT, json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        )
        stage.add_file(RESULT, str(file_identity(stage.path / RESULT)["sha256"]))
        stage.notes |= found

    return run_stage(config, spec, work, externals=externals)


def evaluate_checkpoint(
    checkpoint: Path,
    manifest_folder: Path,
    *,
    max_items: int = 5_000,
    classes: Sequence[Path] = (),
    batch_size: int = 256,
    device: str = "auto",
    threads: int = 1,
    removed: pa.Array | None = None,
) -> dict[str, Any]:
    """Return the results of one model, in this module's form; two models on one folder are asked the same.

    removed: pair_ids that are not asked for; where there are any, `captions` is the ledger of what is.
    checkpoint: a `final.pt` with its `tokenizer.json` beside it. max_items: held-out captions a language, chosen by coin.
    Raises InputError where the folder holds no held-out captions, or the tokenizer is not the checkpoint's.
    """
    from trainer.encode import Encoder

    sets = [load_classes(path) for path in classes]
    rows, ledger = heldout_rows(manifest_folder, removed)
    captions, urls = heldout_captions(rows, manifest_folder, max_items)
    model = Encoder(checkpoint, device=device, batch_size=batch_size, threads=threads)
    image_ND, decoded = model.images(captions.pictures)
    galleries = {
        lang: _gallery(captions, lang, image_ND, decoded, model) for lang in sorted(set(captions.langs))
    }
    zero_shot: dict[str, Any] = {}
    for each in sets:
        truth = truth_of_pictures(each, captions.pictures.image_ids, urls)
        truth = {index: held for index, held in truth.items() if decoded[index]}
        zero_shot[each.name] = {
            lang: classify(each, lang, image_ND, truth, model.texts) for lang in sorted(each.labels)
        }
    retrieval = {lang: evaluate_gallery(gallery) for lang, gallery in galleries.items() if gallery}
    return {
        "retrieval": retrieval,
        "zero_shot": zero_shot,
        "gap": _gap(retrieval, zero_shot),
        "pictures": len(decoded),
        "decode_failures": int((~decoded).sum()),
        "tokenizer_sha256": model.tokenizer_sha256,
    } | ({"captions": ledger} if ledger["dropped"] else {})


def heldout_rows(folder: Path, removed: pa.Array | None = None) -> tuple[pa.Table, dict[str, Any]]:
    """Return the held-out rows that are not removed, and what a ledger says of them. Raises InputError where there are none."""
    rows = read_rows(folder)
    sealed = rows.filter(pc.equal(rows["split"], HELDOUT))
    rows = sealed if removed is None else without(sealed, removed)
    gone = len(sealed) - len(rows)
    if not len(rows):
        raise InputError(
            f"{folder} has no held-out captions; raise run.heldout_share and make the manifest again"
        )
    dropped = {str(Reason.REMOVED): gone} if gone else {}
    return rows, {"unit": "captions", "rows_in": len(sealed), "rows_out": len(rows), "dropped": dropped}


def heldout_captions(rows: pa.Table, folder: Path, max_items: int) -> tuple[Captions, dict[str, list[str]]]:
    """Return held-out captions, at most `max_items` a language by coin, and all addresses of their pictures by image_id."""
    langs, coin_N = np.array(rows["lang"].to_pylist()), coins(rows["pair_id"].to_pylist(), 0, "evaluate")
    chosen: list[int] = []
    for lang in np.unique(langs):
        own = np.flatnonzero(langs == lang)
        chosen += own[np.argsort(coin_N[own], kind="stable")[:max_items]].tolist()
    urls: dict[str, list[str]] = {}
    for image_id, url in zip(rows["image_id"].to_pylist(), rows["url"].to_pylist(), strict=True):
        urls.setdefault(image_id, []).append(url)
    return captions_of(rows.take(sorted(chosen)).combine_chunks(), folder), urls


def _gallery(
    captions: Captions, lang: str, image_ND: np.ndarray, decoded: np.ndarray, model: "Encoder"
) -> Gallery | None:
    """Return the pictures and distinct texts of one language; None where no picture of it can be decoded."""
    rows = np.flatnonzero((np.array(captions.langs) == lang) & decoded[captions.picture_N])
    if not len(rows):
        return None
    texts, text_N = np.unique(np.array(captions.text_of(rows), dtype=object), return_inverse=True)
    pictures, image_N = np.unique(captions.picture_N[rows], return_inverse=True)
    return Gallery(image_ND[pictures], model.texts(texts.tolist()), image_N, text_N)


def _gap(retrieval: dict[str, Any], zero_shot: dict[str, Any]) -> dict[str, Any]:
    """Return English minus Korean, where both were asked."""
    gap: dict[str, Any] = {}
    if {"en", "ko"} <= set(retrieval):
        gap["retrieval"] = difference(retrieval["en"], retrieval["ko"])
    both = {
        name: part for name, part in zero_shot.items() if {"en", "ko"} <= set(part) and part["en"]["items"]
    }
    if both:
        gap["zero_shot"] = {n: round(p["en"]["accuracy"] - p["ko"]["accuracy"], 6) for n, p in both.items()}
    return gap
