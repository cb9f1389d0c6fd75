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

from curation.removals import NO_REMOVALS, Removals
from curation.report.scan import batches

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


def gone_of(runs: Iterable[Path], removals: Removals, image_ids: Sequence[str]) -> Gone:
    """Return what must not be shown of these pictures and of what joined them. runs: directories, a sealed manifest in some."""
    wanted = pa.array(sorted(set(image_ids)), pa.string())
    pairs, pictures = set[str](), set[str]()
    for batch in _removed(runs):
        near = [pc.is_in(batch.column(name), value_set=wanted) for name in ("image_id", "source_image_id")]
        mine = batch.filter(pc.or_(*near))
        pairs.update(mine.column("pair_id").to_pylist())
        pictures.update(mine.column("source_image_id").to_pylist())
    return Gone(removals, frozenset(pairs), frozenset(pictures))


def _removed(runs: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    for run in dict.fromkeys(runs):
        yield from batches(run / SEAL / REMOVED, ["pair_id", "image_id", "source_image_id"])
