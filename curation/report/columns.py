"""The tables' schemas as a document, column by column: `python -m curation.report.columns docs/manifest.md`, or `make docs`.

In: curation.schemas. Out: Markdown. A test holds the file in the repository to it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from curation.schemas import ROW_GROUP_ROWS, SCHEMA_VERSION, TABLES

PLACES = {
    "manifest": "manifest/manifest.parquet/",
    "selection": "balance-survivors/selection/",
    "removed": "manifest/removed/",
    "entries": "metadata/entries/",
    "pairs": "extract/pairs/",
    "matches": "match/matches/",
    "counts": "count/counts/, count-survivors/counts/",
    "wanted": "balance/wanted/",
    "outcomes": "download/outcomes/",
    "descriptors": "embed/descriptors/, dedup/index/descriptors/",
    "identical": "neighbours/identical/",
    "vectors": "neighbours/vectors/, dedup/index/vectors/",
    "edges": "neighbours/edges/",
    "groups": "dedup/groups/",
    "rows": "dedup/rows/, dedup/rows_earlier/",
    "members": "dedup/index/members/",
}
"""Where a run has its tables, those that are published first."""
ABOUT = {
    "manifest": "A row a caption of a sealed picture, selected or not. Sorted by `pair_id`; each file is a range of ids.",
    "selection": "Which rows of a manifest are chosen, for one threshold or budget; `curate balance --manifest` writes more of them. "
    "It may stand in for the manifest's own `keep_prob` and `selected`.",
    "removed": "What a removal list kept from being sealed; only where one was given.",
    "entries": "The frozen lists that texts are matched against.",
    "pairs": "What was read: an address of a picture with a text.",
    "matches": "Texts that name an entry; a text in two languages has a row in each.",
    "counts": "How many rows name each entry.",
    "wanted": "What the balance asked to be downloaded.",
    "outcomes": "What became of each address.",
    "descriptors": "What near-duplicates are found by.",
    "identical": "Pictures that the search leaves out, since another one has their very descriptor.",
    "vectors": "What the search compares. An index has those of the pictures that a later crawl must be compared with.",
    "edges": "Pairs of near pictures, down to `neighbours.floor`: `dedup.threshold` applies later. Of identical ones, one is named.",
    "groups": "Which picture stands for which.",
    "rows": "The captions of the survivors, before they are sealed; a text in two languages has a row in each. `rows_earlier` has those "
    "whose picture joined one of an earlier crawl: that picture lies in the earlier manifest's shards, so the captions are for it.",
    "members": "Every picture of a crawl but those near an evaluation set: what a later crawl that meets the same bytes must know.",
}
HEAD = f"""# Tables, column by column

Written by `make docs` from `curation/schemas.py`; schema version {SCHEMA_VERSION}. Columns are only ever added, nullable, at the end: select by
name. All tables are Parquet with zstd; a table is a folder of `*.parquet` files (files whose names begin with `.` or `_` are Spark's
own). Where a counting step wrote one, its files have two columns more, `_reason` and `_tally`, always null.

A sealed set is the folder `RUN/manifest/`:

```
manifest.parquet/00000.parquet, ...     the manifest, row groups of {ROW_GROUP_ROWS:,} rows
shards/train-00000.tar, ...             pictures to train on: for each IMAGE_ID.jpg (or .png, ...: the bytes as they were fetched),
shards/heldout-00000.tar, ...           IMAGE_ID.json (all captions; `uid`, the first one's pair_id) and IMAGE_ID.txt (the first one)
shards/sizes.json                       pictures a shard
removed/                                what a removal list kept out, where one was given
_stage.json                             the record: configuration, SHA-256 of every file, counts by reason, versions
```

Nothing of this package is needed to read it:

```sql
-- DuckDB
select lang, split, selected, count(*) from 'RUN/manifest/manifest.parquet/*.parquet' group by all;
-- the captions that name the entry 'cat'
select caption from 'RUN/manifest/manifest.parquet/*.parquet' m, 'RUN/metadata/entries/*.parquet' e
where e.lang = m.lang and e.entry = 'cat' and list_contains(m.entry_ids, e.entry_id);
```

```python
pandas.read_parquet("RUN/manifest/manifest.parquet")
polars.scan_parquet("RUN/manifest/manifest.parquet/*.parquet").filter(polars.col("selected"))
# keys: __key__, jpg or png ..., json, txt
webdataset.WebDataset("RUN/manifest/shards/train-{{00000..00002}}.tar")


def picture(row):  # the bytes of one picture, without a tar reader
    with open("RUN/manifest/" + row["shard"], "rb") as file:
        file.seek(row["offset"])
        return file.read(row["size"])
```

A tar holds every picture once, whatever is selected: filter by the manifest, or take `selected` of the captions in `.json` by their
`pair_id`. Where no cap was set, `coin < keep_prob` and `split = 'train'` is the rule of `selected`.

DataComp's resharder writes a selection as shards of their own, from these as they are:

```
curate balance --manifest RUN/manifest --out SELECTION --datacomp
python resharder.py -i RUN/manifest/shards -o NEW -s SELECTION/datacomp-pictures.npy --shard-format 'train-{{:05d}}.tar'
```

`datacomp-pictures.npy` names every picture with a selected caption by its sample's `uid`. A copied sample is whole: its `.txt` is the
first caption, selected or not, and its `.json` has all of them, so that a picture with a caption that the removal list names stays out
until `curate manifest` has sealed it anew. `datacomp.npy` names the selected pairs by `pair_id`: given to the resharder it copies only
the pictures whose `.txt` is a selected caption. Of several manifests each has a file of its own, `datacomp-pictures-1.npy` and so on.
"""  # noqa: S608 - a document
_KINDS = {
    pa.string(): "text", pa.int32(): "int32", pa.int64(): "int64", pa.float64(): "float64", pa.bool_(): "boolean",
    pa.binary(): "bytes",
}  # fmt: skip


def kind_of(kind: pa.DataType) -> str:
    """Return a column's type in words."""
    if pa.types.is_list(kind):
        return f"list of {kind_of(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "(" + ", ".join(f"{field.name} {kind_of(field.type)}" for field in kind) + ")"
    return _KINDS[kind]


def document() -> str:
    """Return the document."""
    order = [*PLACES, *(name for name in TABLES if name not in PLACES)]
    return "\n".join([HEAD, *(line for name in order if name in TABLES for line in _section(name))])


def _section(table: str) -> Iterator[str]:
    yield f"## {table}\n"
    places = ", ".join(f"`RUN/{place}`" for place in PLACES[table].split(", ")) if table in PLACES else ""
    about = " ".join(part for part in (ABOUT.get(table, ""), f"In {places}." if places else "") if part)
    if about:
        yield f"{about}\n"
    yield "| column | type | null | what it is |"
    yield "| --- | --- | --- | --- |"
    for field in TABLES[table]:
        notes = field.metadata or {}
        doc = notes[b"doc"].decode().replace("|", "\\|") + (
            " (not in the table's digest)" if b"volatile" in notes else ""
        )
        yield f"| `{field.name}` | {kind_of(field.type)} | {'yes' if field.nullable else ''} | {doc} |"
    yield ""


def main() -> None:
    """Write the document to the file that is named."""
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
