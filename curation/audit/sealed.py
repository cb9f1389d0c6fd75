"""`curate verify`, last part: what the shards hold is what the manifest says, and what the options of a selection left out.

A picture's place in a shard must hold, byte for byte, what sealing its rows again gives: the picture, whose hash is its id, its JSON
and its text. Pictures are drawn by a coin; of a shard whose own hash does not fit, all are looked at, to say where it was changed.
"""

# N rows

import tarfile
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.audit.decisions import SAMPLE
from curation.audit.files import RunFiles, scan
from curation.audit.findings import Findings
from curation.balance import Survivors, decide
from curation.config_balance import SELECTION_ONLY, BalanceSection
from curation.domains import hosts_of
from curation.ids import coins, image_id
from curation.shards import BLOCK, EXTENSIONS, UID_SINCE, Sample, sealed

MAX_DECIDED = 20_000_000  # survivors whose caps are derived again in memory
_COLUMNS = ("pair_id", "lang", "caption", "image_id", "width", "height", "shard", "offset", "size")
_MIME = {ending: mime for mime, ending in EXTENSIONS.items()}


def check_shards(files: RunFiles, found: Findings, *, share: float, seed: int) -> None:
    """Compare a share of the pictures, and all of a damaged shard, with the manifest."""
    damaged = {
        fault.where.removeprefix("manifest/") for fault in found.faults if fault.where.endswith(".tar")
    }
    record = files.records["manifest"]
    for shard, pictures in sorted(_drawn(files, damaged, share, seed).items()):
        where = f"manifest/{shard}"
        if not (record.path / shard).is_file() and shard in damaged:
            continue  # that it is not there has been told
        with found.guarded(where), (record.path / shard).open("rb") as file:
            before = len(found.faults)
            for rows in pictures.values():
                _check_picture(file, where, rows, found, version=record.data.get("version", UID_SINCE))
            if shard in damaged and len(found.faults) == before:
                found.fault(
                    where, "every picture in it is whole: what was changed lies between or after them"
                )


def _drawn(
    files: RunFiles, damaged: set[str], share: float, seed: int
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the manifest's rows of the pictures that are looked at, by shard and picture."""
    table = files.table("manifest", "manifest")
    drawn: dict[str, dict[str, list[dict[str, Any]]]] = {}
    broken = pa.array(sorted(damaged), pa.string())
    for batch in scan(table, _COLUMNS) if table is not None else ():
        tossed = coins(batch.column("image_id").to_pylist(), seed, SAMPLE) < share
        of_broken = pc.is_in(batch.column("shard"), value_set=broken).to_numpy(zero_copy_only=False)
        for row in batch.filter(pa.array(tossed | of_broken)).to_pylist():
            drawn.setdefault(row["shard"], {}).setdefault(row["image_id"], []).append(row)
    return drawn


def _check_picture(
    file: BinaryIO, where: str, rows: list[dict[str, Any]], found: Findings, *, version: int
) -> None:
    """Compare what a shard holds of a picture with what its rows give when they are sealed again."""
    first = rows[0]
    key, offset = first["image_id"], first["offset"]
    found.checked["sealed pictures"] += 1
    file.seek(offset)
    body = file.read(first["size"])
    if image_id(body) != key:
        found.fault(where, f"the bytes at {offset:,} are not picture {key}")
        return
    file.seek(offset - BLOCK)
    name = file.read(BLOCK)[:100].rstrip(b"\0").decode("utf-8", "replace")
    captions = sorted(rows, key=lambda row: row["pair_id"])
    sample = Sample(
        key, _MIME.get(name.rpartition(".")[2], ""), "", 0, len(body),
        tuple({"pair_id": row["pair_id"], "lang": row["lang"], "text": row["caption"]} for row in captions),
        first["width"], first["height"],
    )  # fmt: skip
    wanted = sealed(sample, body, version=version)
    file.seek(offset - BLOCK)
    held = file.read(len(wanted))
    if held != wanted:
        at = next((n for n, (a, b) in enumerate(zip(held, wanted, strict=False)) if a != b), len(held))
        member = _member_at(wanted, at)
        found.fault(
            where,
            f"{member} is not what the manifest says: the first other byte is at {offset - BLOCK + at:,}",
        )


def _member_at(data: bytes, position: int) -> str:
    """Return the name of the member that a position of sealed bytes lies in."""
    start, name = 0, ""
    while start <= position and start + BLOCK <= len(data):
        header = tarfile.TarInfo.frombuf(data[start : start + BLOCK], "utf-8", "strict")
        name = header.name
        start += BLOCK + header.size + -header.size % BLOCK
    return name


def check_options(files: RunFiles, found: Findings) -> None:
    """Derive again what the draws and caps of a selection left out, of all survivors at once."""
    record = files.records["balance-survivors"]
    config = record.data["config"]
    options = {key: config[key] for key in SELECTION_ONLY if config.get(key)}
    if not options:
        return
    total = record.data["tables"]["selection"]["rows"]
    if total > MAX_DECIDED:
        found.remark(
            f"what {', '.join(options)} left out was not derived again: {total:,} survivors are too many"
        )
        return
    rows, selected = _survivors(files)
    seed = config.get("run.seed", files.setting("balance", "run.seed"))  # the record's own where it has one
    _, reasons = decide(rows, BalanceSection(**options), seed=seed)
    again = np.array([reason is None for reason in reasons])
    for n in np.flatnonzero(again != selected).tolist():
        told = f"{rows.pair_id[n]} is {'' if selected[n] else 'not '}selected, derived again {reasons[n] or 'it is'}"
        found.fault("balance-survivors/selection", told)
    found.checked["caps derived again"] += len(again)


def _survivors(files: RunFiles) -> tuple[Survivors, np.ndarray]:
    """Return the survivors in order of pair_id with the chances that the selection recorded, and whether it has them."""
    columns = ["pair_id", "url", "image_id", "keep_prob_wanted", "coin", "split"]
    table, chosen = files.table("dedup", "rows"), files.table("balance-survivors", "selection")
    assert table is not None
    assert chosen is not None
    rows = (
        table.to_table(columns=columns).group_by("pair_id").aggregate([(name, "min") for name in columns[1:]])
    )
    rows = rows.sort_by("pair_id")
    selection = chosen.to_table().sort_by("pair_id")

    def texts(values: pa.ChunkedArray) -> np.ndarray:
        return np.array(values.to_pylist(), dtype=object)

    found = Survivors(
        pair_id=texts(rows["pair_id"]), prob=selection["keep_prob"].to_numpy(),
        keep_prob_wanted=rows["keep_prob_wanted_min"].to_numpy(), coin=rows["coin_min"].to_numpy(),
        train=pc.equal(rows["split_min"], "train").to_numpy(), image_id=texts(rows["image_id_min"]),
        domain=texts(hosts_of(rows["url_min"].combine_chunks())),
    )  # fmt: skip
    return found, selection["selected"].to_numpy()
