"""Selections in DataComp's form: a sorted `.npy` of dtype `u8,u8`, a selected sample an element. Used by `curate balance --manifest`.

DataComp (Gadre et al. 2023) names a sample by a uid of 128 bits, written as 32 hex digits, and a subset by the two halves of
each, the higher first, in ascending order; its readers look uids up by bisection, so that the order matters. A `pair_id` is
32 hex digits too: it is the uid here. DataComp's resharder takes the uid of a tar sample from the key `uid` of its JSON. A sample
of our shards is a picture with several pairs: its uid is that of its first, and `curation.spark.datacomp` writes the subset of pictures.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.errors import InputError
from curation.shards import replaced

# N ids

UID = np.dtype("<u8,<u8")  # what `numpy.dtype("u8,u8")` is on every machine that numpy is built for today
UID_HEX_DIGITS = 32
_UID_TEXT = re.compile(f"[0-9a-f]{{{UID_HEX_DIGITS}}}")
Uids = npt.NDArray[np.void]


def to_uids(pair_ids: pa.StringArray) -> Uids:
    """Return ids of 32 hex digits as pairs of whole numbers, UID (N,). Raises InputError where one has another form."""
    ids = pair_ids.to_pylist()
    odd = next((item for item in ids if not _UID_TEXT.fullmatch(item)), None)
    if odd is not None:
        raise InputError(
            f"{odd!r} is no uid of DataComp's: these have {UID_HEX_DIGITS} hex digits in lower case"
        )
    data = bytes.fromhex("".join(ids))
    return np.frombuffer(data, dtype=">u8,>u8").astype(UID)


def to_pair_ids(uids: Uids) -> pa.LargeStringArray:
    """Return pairs of whole numbers as ids of 32 hex digits, in lower case; the inverse of `to_uids`."""
    text = uids.astype(">u8,>u8").tobytes().hex().encode()
    offsets = np.arange(len(uids) + 1, dtype=np.int64) * UID_HEX_DIGITS
    return pa.LargeStringArray.from_buffers(len(uids), pa.py_buffer(offsets), pa.py_buffer(text))


def write_subset(path: Path, batches: Iterable[pa.StringArray], rows: int) -> None:
    """Write a subset file, in constant memory, under a temporary name, and rename it.

    batches: ids in ascending order, each once, over all batches; rows: how many they are together.
    Raises InputError where the order or the number is another: the file would not be what DataComp's readers bisect.
    """
    written, last = 0, ""
    header = {"descr": np.lib.format.dtype_to_descr(UID), "fortran_order": False, "shape": (rows,)}
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for batch in batches:
            if len(batch) == 0:
                continue
            uids = to_uids(batch)
            ids = to_pair_ids(uids).to_pylist()
            if any(one >= two for one, two in zip([last, *ids], ids, strict=False)):
                raise InputError(
                    f"the ids after {last or 'the beginning'} are not in ascending order, each once"
                )
            file.write(uids.tobytes())
            written, last = written + len(batch), ids[-1]
        if written != rows:
            raise InputError(f"{rows} ids were announced, {written} came")


def read_subset(path: Path) -> pa.LargeStringArray:
    """Return the ids of a subset file, as 32 hex digits in ascending order; DataComp's own files may repeat an id.

    Raises InputError that names the file where it is not an array of UID, or not sorted.
    """
    try:
        uids = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot read the subset {path}: {error}") from error
    if (
        not isinstance(uids, np.ndarray)
        or uids.ndim != 1
        or uids.dtype.names is None
        or not _are_uids(uids.dtype)
    ):
        kind = getattr(uids, "dtype", type(uids).__name__)
        raise InputError(
            f"{path} holds {kind}; a subset in DataComp's form is one dimension of numpy.dtype('u8,u8')"
        )
    first, second = (uids[name] for name in uids.dtype.names)
    ascending = (first[:-1] < first[1:]) | ((first[:-1] == first[1:]) & (second[:-1] <= second[1:]))
    if not ascending.all():
        raise InputError(f"{path} is not sorted; DataComp's readers bisect: numpy.sort it and save it again")
    return to_pair_ids(uids.astype(UID))


def _are_uids(dtype: np.dtype[np.void]) -> bool:
    kinds = [dtype[name] for name in dtype.names or ()]
    return len(kinds) == 2 and all(kind.kind == "u" and kind.itemsize == 8 for kind in kinds)
