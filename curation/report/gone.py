"""What a run's removal list forbids to show: pictures and captions that the page or a notebook would else print.

Two sources: the list that `[run] removals` names now, asked of each row, and the table `removed` beside a sealed manifest, made with
the list of its day. What either names is not shown, whatever the other says.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.removals import NO_REMOVALS, Removals
from curation.report.scan import batches

TEXTS = ("text", "clean_text", "caption")  # columns that hold a pair's text
WITHHELD = "(removed)"  # stands in the place of one
KEYS = ("pair_id", "url", "image_id", "source_image_id")  # columns that a removal is told by
NO_PICTURE = "0" * 64  # of a table that knows none
SEAL, REMOVED = "manifest", "removed"  # the stage, and its table
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Gone:
    """What must not be shown, of some pictures. False where nothing was ever removed."""

    removals: Removals = NO_REMOVALS
    pairs: frozenset[str] = frozenset()
    """Ids of removed pairs."""
    pictures: frozenset[str] = frozenset()
    """Own pictures of removed pairs; one of them that another pair still brings is not gone."""

    def __bool__(self) -> bool:
        return bool(self.removals or self.pairs)

    def keeps_caption(self, row: Row) -> bool:
        """Say whether a caption may stand, by its row alone: pair_id, url, image_id and source_image_id."""
        asked = ([row[name]] for name in ("url", "image_id", "source_image_id"))
        return row["pair_id"] not in self.pairs and self.removals.rules_of(*asked) == [None]

    def keeps_address(self, url: str) -> bool:
        """Say whether a picture may still be taken from there."""
        return self.removals.rule_of_url(url) is None

    def keeps_picture(self, image_id: str, standing: Iterable[str]) -> bool:
        """Say whether a picture may be shown. standing: own pictures of the captions that stand."""
        removed = image_id in self.pictures and image_id not in standing
        return not removed and not self.removals.has_image(image_id)


NOTHING = Gone()


def gone_of(runs: Iterable[Path], removals: Removals, image_ids: Sequence[str] | None) -> Gone:
    """Return what must not be shown of these pictures and of what joined them, of all where none are given.

    runs: directories, a sealed manifest in some.
    """
    wanted = None if image_ids is None else pa.array(sorted(set(image_ids)), pa.string())
    pairs, pictures = set[str](), set[str]()
    for batch in _removed(runs):
        mine = batch
        if wanted is not None:
            near = [pc.is_in(batch.column(name), value_set=wanted) for name in KEYS[2:]]
            mine = batch.filter(pc.or_(*near))
        pairs.update(mine.column("pair_id").to_pylist())
        pictures.update(mine.column("source_image_id").to_pylist())
    return Gone(removals, frozenset(pairs), frozenset(pictures))


def _removed(runs: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    for run in dict.fromkeys(runs):
        yield from batches(run / SEAL / REMOVED, ["pair_id", "image_id", "source_image_id"])


def with_keys(table: Path) -> list[str]:
    """Return the columns of a table that a removal is told by; none where it is not there."""
    file = next(iter(sorted(table.glob("[!._]*.parquet"))), None)
    return [name for name in KEYS if file is not None and name in pq.read_schema(file).names]


def withhold(batch: pa.RecordBatch, gone: Gone) -> pa.RecordBatch:
    """Return rows with `WITHHELD` for the texts of removed pairs, told by each row alone, by those of `KEYS` that it has."""
    if not gone:
        return batch
    held = {
        name: batch.column(name).to_pylist() if name in batch.schema.names else [blank] * batch.num_rows
        for name, blank in zip(KEYS, ("", "", NO_PICTURE, NO_PICTURE), strict=True)
    }
    rules = gone.removals.rules_of(*(held[name] for name in KEYS[1:]))
    out = [pair in gone.pairs or rule is not None for pair, rule in zip(held["pair_id"], rules, strict=True)]
    columns = [
        pc.if_else(pa.array(out, pa.bool_()), WITHHELD, batch.column(name))
        if name in TEXTS
        else batch.column(name)
        for name in batch.schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
