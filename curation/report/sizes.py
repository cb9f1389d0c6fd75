"""How large the pictures are: files fetched, and selected captions by their picture. Reads descriptors and the manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.manifest import MANIFEST
from curation.report.scan import Ints, batches
from curation.stage import Record

# Pixels of the shorter side. 224 and 336 are what CLIP's models see: below them a picture is blown up.
SIDES = (0, 64, 128, 224, 336, 512, 768, 1024)
SHAPES = (1.0, 1.25, 1.5, 2.0, 3.0)  # longer side over shorter side


def sizes(records: Mapping[str, Record]) -> dict[str, Any] | None:
    """Return rows of shorter sides and of shapes, each with its files fetched and its selected captions.

    None where neither table is there; a column without a table is None.
    """
    fetched = _histograms(records["embed"].path / "descriptors", None) if "embed" in records else None
    chosen = _histograms(records["manifest"].path / MANIFEST, "selected") if "manifest" in records else None
    if not any(part is not None and part[0].any() for part in (fetched, chosen)):
        return None
    return {
        "sides": _rows(_names(SIDES), fetched and fetched[0], chosen and chosen[0]),
        "shapes": _rows(_names(SHAPES), fetched and fetched[1], chosen and chosen[1]),
        "files": int(fetched[0].sum()) if fetched else None,
        "captions": int(chosen[0].sum()) if chosen else None,
    }


def _histograms(table: Path, flag: str | None) -> tuple[Ints, Ints]:
    """Return the rows (those with a flag, where one is named) by shorter side and by shape."""
    sides, shapes = np.zeros(len(SIDES), dtype=np.int64), np.zeros(len(SHAPES), dtype=np.int64)
    for batch in batches(table, ["width", "height", *([flag] if flag else [])]):
        kept = batch.filter(batch.column(flag)) if flag else batch
        width, height = (kept.column(name).to_numpy().astype(np.float64) for name in ("width", "height"))
        shorter = np.maximum(np.minimum(width, height), 1)
        sides += _counted(shorter, SIDES)
        shapes += _counted(np.maximum(width, height) / shorter, SHAPES)
    return sides, shapes


def _counted(values: npt.NDArray[np.float64], edges: tuple[float, ...]) -> Ints:
    places = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right") - 1
    return np.bincount(places, minlength=len(edges)).astype(np.int64)


def _names(edges: tuple[float, ...]) -> list[str]:
    whole = all(float(edge).is_integer() for edge in edges)
    upper = [f"{edge - 1:g}" if whole else f"below {edge:g}" for edge in edges[1:]]
    named = [f"{low:g} to {high}" for low, high in zip(edges, upper, strict=False)]
    return [*named, f"{edges[-1]:g} or more"]


def _rows(names: list[str], fetched: Ints | None, chosen: Ints | None) -> list[dict[str, Any]]:
    def cell(values: Ints | None, place: int) -> tuple[int | None, float | None]:
        return (
            (None, None)
            if values is None
            else (int(values[place]), float(values[place] / max(1, values.sum())))
        )

    rows = []
    for place, name in enumerate(names):
        (files, of_files), (captions, of_captions) = cell(fetched, place), cell(chosen, place)
        row = {
            "name": name,
            "files": files,
            "of_files": of_files,
            "captions": captions,
            "of_captions": of_captions,
        }
        rows.append(row)
    return rows
