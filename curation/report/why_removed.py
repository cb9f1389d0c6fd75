"""What `curate why` tells of a pair that somebody asked to be gone: ids, decisions and who named it; neither its text nor its address.

Three things name a pair: the removal list that is given now, the table `removed` of the seal, and the download's outcome. Whoever
handles a request learns where the data still stand, since a list does not reach back (docs/removals.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.audit.files import RunFiles
from curation.audit.find import Pair
from curation.audit.life import PASSED, Life, Step
from curation.errors import Reason
from curation.removals import Removals
from curation.report.gone import KEYS, NO_PICTURE, WITHHELD

LIST, SEAL, DOWNLOAD = "the removal list", "the seal's removal list", "the download's removal list"
TELLING = frozenset(
    {"url", "text", "clean_text", "caption", "page_url", "detail"}
)  # facts that give a pair away
# Stages whose tables hold a pair's text or address; the download's holds the address whatever it gave.
HOLDERS = ("extract", "match", "balance", "download", "dedup", "manifest")
_SOURCES = (("dedup", "rows"), ("manifest", "manifest"))  # where all captions of a picture stand
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Named:
    """Who named a pair, and by which rule: one of `curation.removals.RULES`."""

    rule: str
    by: str


def named_by(files: RunFiles, pair: Pair, removals: Removals) -> list[Named]:
    """Return who names a pair, each once; none where it may be shown."""
    found = []
    now = _rule_now(files, pair, removals) if removals else None
    if now:
        found.append(Named(now, LIST))
    sealed = files.rows("manifest", "removed", pc.field("pair_id") == pair.pair_id, columns=["rule"], limit=1)
    found += [Named(row["rule"], SEAL) for row in sealed]
    refused = (pc.field("url") == pair.url) & (pc.field("reason") == str(Reason.REMOVED))
    outcomes = files.rows("download", "outcomes", refused, columns=["detail"], limit=1)
    return [*found, *(Named((row["detail"] or "url").split()[0], DOWNLOAD) for row in outcomes)]


def _rule_now(files: RunFiles, pair: Pair, removals: Removals) -> str | None:
    """Return the rule by which the list names a pair, all captions of its picture being asked, as the seal asks them."""
    is_pair = pc.field("pair_id") == pair.pair_id
    for source in _SOURCES:
        for own in files.rows(*source, is_pair, columns=["image_id"], limit=1):
            where = pc.field("image_id") == own["image_id"]
            rows = {row["pair_id"]: row for row in files.rows(*source, where, columns=KEYS)}
            rules = removals.rules_of_table(pa.Table.from_pylist(list(rows.values())))
            found: dict[str, str | None] = dict(zip(rows, rules.to_pylist(), strict=True))
            return found[pair.pair_id]
    outcomes = files.rows("download", "outcomes", pc.field("url") == pair.url, columns=["image_id"], limit=1)
    image = next((row["image_id"] for row in outcomes), None) or NO_PICTURE
    groups = files.rows("dedup", "groups", pc.field("image_id") == image, columns=["joined"], limit=1)
    shown = next((row["joined"] for row in groups), image)
    return removals.rules_of([pair.url], [shown], [image])[0]


def concealed(life: Life) -> Life:
    """Return a life without text and address, nor the entries that the text names; all ids and numbers stay."""
    return Life(
        replace(life.pair, url=WITHHELD, text=WITHHELD), [_concealed_step(step) for step in life.steps]
    )


def _concealed_step(step: Step) -> Step:
    entries = [entry | {"entry": WITHHELD} for entry in step.entries]
    return replace(step, facts=concealed_row(step.facts), entries=entries)


def concealed_row(row: Row) -> dict[str, Any]:
    """Return a row with `WITHHELD` for what gives a pair away."""
    return {name: WITHHELD if name in TELLING and value else value for name, value in row.items()}


def held_in(life: Life) -> list[str]:
    """Return the stages whose tables still hold a pair's text or address."""
    return [
        step.stage for step in life.steps
        if step.stage in HOLDERS and (step.state == PASSED or step.stage == "download")
    ]  # fmt: skip


def kept_out(files: RunFiles, asked: str) -> list[dict[str, Any]]:
    """Return what the seal's removal list kept out by this id, of a pair or a picture, where no other table is left to tell of it."""
    own, shown, source = (pc.field(name) == asked for name in ("pair_id", "image_id", "source_image_id"))
    return files.rows("manifest", "removed", own | shown | source)


def verdict_of(life: Life, named: Sequence[Named]) -> str:
    """Return one line: that the pair is removed, by what, and where it is."""
    if not named:
        return life.verdict
    return f"removed by {' and '.join(f'{item.by} ({item.rule})' for item in named)}; {life.verdict}"
