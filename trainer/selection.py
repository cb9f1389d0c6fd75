"""What a selection selects, in any form it comes in: a table, what `curate balance --manifest --out` wrote, or DataComp's `.npy`."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from curation.datacomp import read_subset
from curation.errors import InputError
from curation.stage import RECORD, read_record

SELECTION = "selection.parquet"  # in the directory that `curate balance --manifest --out` wrote


def selection_place(selection: Path) -> Path:
    """Return the file or the directory of files that holds a selection; that of a whole `--out` lies in it."""
    return selection / SELECTION if (selection / SELECTION).exists() else selection


def selected_ids(selection: Path) -> pa.LargeStringArray:
    """Return the ids of the selected pairs. Raises InputError that names what cannot be read."""
    place = selection_place(selection)
    if place.suffix == ".npy":
        return read_subset(place).cast(pa.large_string()).unique()
    try:
        table = ds.dataset(place, format="parquet").to_table(columns=["pair_id", "selected"])
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise InputError(f"cannot read the selection {selection}: {error}") from error
    return table.filter(pc.field("selected"))["pair_id"].cast(pa.large_string()).combine_chunks()


def is_of_several(selection: Path, folder: Path) -> bool:
    """Return whether a selection was made from several manifests of which the folder's is one: it then selects others' pairs too.

    Raises InputError where its record names manifests and the folder's is none of them.
    """
    place = selection_place(selection).parent
    if not (place / RECORD).is_file() or not (folder / RECORD).is_file():
        return False
    named = read_record(place).notes.get("manifests", ())
    own = read_record(folder).digest
    if named and own not in {item["digest"] for item in named}:
        folders = ", ".join(str((place / item["folder"]).resolve()) for item in named)
        raise InputError(f"{selection} was made from {folders}, not from what {folder} holds now")
    return len(named) > 1
