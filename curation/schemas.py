"""Every table, once: a `pyarrow.Schema` with a line of documentation for each column.

Spark's schemas are derived from these (`curation.spark.batches.spark_schema`). Columns are only ever added, nullable, at the end;
readers select by name. A column marked volatile (times, places in raw shards) stays out of a table's digest.
"""

import pyarrow as pa

SCHEMA_VERSION = 1
ROW_GROUP_ROWS = 131_072  # of the tables that are written with pyarrow


def _column(
    name: str, kind: pa.DataType, doc: str, *, nullable: bool = False, volatile: bool = False
) -> pa.Field:
    notes = {b"doc": doc.encode()} | ({b"volatile": b"yes"} if volatile else {})
    return pa.field(name, kind, nullable=nullable, metadata=notes)


_TEXT, _INT, _LONG, _REAL, _FLAG, _BYTES = (
    pa.string(),
    pa.int32(),
    pa.int64(),
    pa.float64(),
    pa.bool_(),
    pa.binary(),
)
_IDS = pa.list_(pa.field("element", pa.int32(), nullable=False))
_SOURCE = pa.struct([pa.field("source", pa.string(), nullable=False), pa.field("score", pa.float64())])
_SOURCES = pa.list_(pa.field("element", _SOURCE, nullable=False))

TABLES: dict[str, pa.Schema] = {
    "entries": pa.schema(
        [
            _column("lang", _TEXT, "language of the list, ISO 639-1"),
            _column("entry_id", _INT, "line of the entry in the frozen list, from 0"),
            _column("entry", _TEXT, "the entry as it is matched"),
            _column(
                "source", _TEXT, "number, wordnet, unigram, bigram, title, word, or what the given list says"
            ),
            _column("score", _REAL, "the source's score: a count, a PMI, page views", nullable=True),
            _column(
                "sources",
                _SOURCES,
                "all sources that offer the entry, each with its score, the first being `source`",
                nullable=True,
            ),
        ]
    ),
    "pairs": pa.schema(
        [
            _column("pair_id", _TEXT, "32 hex digits of SHA-256 over url and text, see curation.ids"),
            _column("url", _TEXT, "address of the picture, absolute, without fragment"),
            _column("text", _TEXT, "the text as read"),
            _column("text_source", _TEXT, "the attribute or column the text comes from: alt, title, ..."),
            _column("page_url", _TEXT, "address of the page; empty for a pool"),
            _column("origin", _TEXT, "input file, relative to the input's root"),
            _column("crawl", _TEXT, "name of the crawl", nullable=True),
        ]
    ),
    "matches": pa.schema(
        [
            _column("pair_id", _TEXT, "of the pair"),
            _column("lang", _TEXT, "language in whose entries the text was matched"),
            _column("url", _TEXT, "address of the picture"),
            _column("text", _TEXT, "the text as read"),
            _column("clean_text", _TEXT, "the text as matched"),
            _column("lang_score", _REAL, "confidence in the language, 0 to 1"),
            _column("detector", _TEXT, "what decided the language: script, fasttext or langdetect"),
            _column("mixed", _FLAG, "the text has a row in each of two languages"),
            _column("entry_ids", _IDS, "sorted, unique ids of the matched entries"),
        ]
    ),
    "counts": pa.schema(
        [
            _column("lang", _TEXT, "language of the list"),
            _column("entry_id", _INT, "line of the entry in the frozen list"),
            _column("count", _LONG, "rows that match the entry"),
            _column(
                "weight", _LONG, "sum of 1/keep_prob_wanted over these rows, in units of 2^-20", nullable=True
            ),
        ]
    ),
    "wanted": pa.schema(
        [
            _column("pair_id", _TEXT, "of a pair to download"),
            _column("url", _TEXT, "address of the picture"),
            _column(
                "keep_prob",
                _REAL,
                "chance of the pair, over the entries of all its languages; 1 for the held out",
            ),
            _column("coin", _REAL, "the pair's coin, uniform in [0, 1)"),
            _column("held_out", _FLAG, "the picture's address is held out for evaluation"),
        ]
    ),
    "outcomes": pa.schema(
        [
            _column("url", _TEXT, "address that was asked for"),
            _column("status", _TEXT, "ok or dropped"),
            _column("reason", _TEXT, "why it was dropped", nullable=True),
            _column("detail", _TEXT, "what exactly was seen, at most 200 characters", nullable=True),
            _column("image_id", _TEXT, "SHA-256 of the bytes as fetched", nullable=True),
            _column("bytes", _LONG, "size of the body", nullable=True),
            _column("width", _INT, "pixels, from the picture's header", nullable=True),
            _column("height", _INT, "pixels, from the picture's header", nullable=True),
            _column("mime", _TEXT, "type by the bytes, not by the server's word", nullable=True),
            _column("http_status", _INT, "status of the last answer", nullable=True),
            _column(
                "opt_out", _TEXT, "evidence of an opt-out, verbatim, at most 200 characters", nullable=True
            ),
            _column("fetched_at", _TEXT, "time of the answer, UTC, ISO 8601", nullable=True, volatile=True),
            _column("raw_shard", _TEXT, "tar under raw/ that holds the bytes", nullable=True, volatile=True),
            _column("raw_offset", _LONG, "offset of the bytes in that tar", nullable=True, volatile=True),
        ]
    ),
    "descriptors": pa.schema(
        [
            _column("image_id", _TEXT, "of the picture"),
            _column("width", _INT, "pixels, decoded"),
            _column("height", _INT, "pixels, decoded"),
            _column("codes", _BYTES, "int8 codes, views after views, each of the kind's dimension"),
            _column("kind", _TEXT, "the descriptor, with its version"),
            _column("kind_sha256", _TEXT, "hash of what determines the codes: parameters or weights"),
            _column(
                "detail",
                _BYTES,
                "what a second look at a near pair compares; null where the kind has none",
                nullable=True,
            ),
        ]
    ),
    "groups": pa.schema(
        [
            _column("image_id", _TEXT, "of the picture"),
            _column(
                "group_id",
                _TEXT,
                "image_id of the best-ranked picture of all that a chain of near pairs ties to it: a survivor",
            ),
            _column("survivor", _FLAG, "the picture is kept"),
            _column(
                "joined",
                _TEXT,
                "the kept picture that has its captions now; itself for a survivor, and for one that joined none",
            ),
            _column(
                "cosine",
                _REAL,
                "cosine of the codes to `near` (for holdout: to the evaluation set's picture), best over the views; 1 for a survivor",
            ),
            _column(
                "rule", _TEXT, "single, survivor, identical_descriptor, near_descriptor, holdout or earlier"
            ),
            _column(
                "near",
                _TEXT,
                "the near picture that it was dropped for: under mis `joined`, under dominated the first on the way there, "
                "under components its nearest of all, for holdout the evaluation set's",
                nullable=True,
            ),
            _column(
                "holdout", _TEXT, "evaluation set that has a picture near it, for rule holdout", nullable=True
            ),
            _column("in_index", _FLAG, "`joined` is a picture of an earlier crawl", nullable=True),
        ]
    ),
    "rows": pa.schema(
        [
            _column("pair_id", _TEXT, "of the original pair"),
            _column("lang", _TEXT, "language in whose entries the text was matched"),
            _column("lang_score", _REAL, "confidence in the language, 0 to 1"),
            _column("url", _TEXT, "address of the pair's own picture"),
            _column("text", _TEXT, "the text as read"),
            _column("clean_text", _TEXT, "the text as matched"),
            _column("mixed", _FLAG, "the text has a row in each of two languages"),
            _column("entry_ids", _IDS, "sorted, unique ids of the matched entries"),
            _column("image_id", _TEXT, "the survivor's picture"),
            _column("source_image_id", _TEXT, "the pair's own picture"),
            _column("inherited", _FLAG, "the caption came from a duplicate of the picture"),
            _column("keep_prob_wanted", _REAL, "keep probability of the balance before the download"),
            _column("coin", _REAL, "the pair's coin"),
            _column(
                "split",
                _TEXT,
                "heldout for all of a group (group_id) with a held-out picture, else train",
            ),
        ]
    ),
    "edges": pa.schema(
        [
            _column("image_id_a", _TEXT, "the smaller id of two near pictures"),
            _column("image_id_b", _TEXT, "the larger id"),
            _column("cosine", _REAL, "cosine of the codes, best over the views"),
            _column(
                "agreement",
                _REAL,
                "what a second look found, 0 to 1; null where the kind has none",
                nullable=True,
            ),
        ]
    ),
    "identical": pa.schema(
        [
            _column("image_id", _TEXT, "of a picture with the very descriptor of another"),
            _column("representative", _TEXT, "the smallest image_id of those of that descriptor"),
        ]
    ),
    "vectors": pa.schema(
        [
            _column(
                "image_id", _TEXT, "of the picture; of identical ones, the representative alone is searched"
            ),
            _column("view", _INT, "which view, from 0; zero views and repeated ones have no row"),
            _column("cell", _INT, "cell in which the view is at home"),
            _column(
                "visits", _IDS, "cells whose vectors it is compared with; none for a view that only waits"
            ),
            _column("code", _BYTES, "int8 code of the view"),
        ]
    ),
    "members": pa.schema(
        [
            _column("image_id", _TEXT, "of a picture that the crawl described"),
            _column("epoch", _INT, "which crawl of the chain, 0 the oldest"),
            _column("group_id", _TEXT, "as in groups"),
            _column("survivor", _FLAG, "as in groups"),
            _column("joined", _TEXT, "as in groups"),
            _column("near", _TEXT, "as in groups", nullable=True),
            _column("cosine", _REAL, "as in groups"),
            _column("held_out", _FLAG, "the group has a held-out picture"),
            _column(
                "pixels", _LONG, "width times height; null where dedup.rank does not name it", nullable=True
            ),
            _column("captions", _LONG, "wanted pairs that show it; null likewise", nullable=True),
            _column("bytes", _LONG, "size of the file; null likewise", nullable=True),
        ]
    ),
    "selection": pa.schema(
        [
            _column("pair_id", _TEXT, "of a row of the manifest"),
            _column("keep_prob", _REAL, "chance of the pair in this selection"),
            _column("selected", _FLAG, "coin < keep_prob and not held out"),
        ]
    ),
    "removed": pa.schema(
        [
            _column("pair_id", _TEXT, "of a pair that was not sealed, since the removal list names it"),
            _column("image_id", _TEXT, "the picture that it would have shown"),
            _column("source_image_id", _TEXT, "the pair's own picture"),
            _column(
                "rule", _TEXT, "url, domain, image, or picture: no address is left to take the picture from"
            ),
        ]
    ),
    "manifest": pa.schema(
        [
            _column("pair_id", _TEXT, "of the original pair: the key"),
            _column("url", _TEXT, "address of the pair's own picture"),
            _column("text", _TEXT, "the text as read, which the id is made of"),
            _column("caption", _TEXT, "the text cleaned: what was matched, and what is trained on"),
            _column("lang", _TEXT, "language of the caption; of a mixed one, the more certain"),
            _column("entry_ids", _IDS, "sorted, unique ids of the entries matched in the list of `lang`"),
            _column("mixed_lang", _TEXT, "second language of a mixed caption", nullable=True),
            _column("mixed_entry_ids", _IDS, "the same in the list of `mixed_lang`", nullable=True),
            _column("image_id", _TEXT, "the survivor's picture: its member's name in the shard"),
            _column("source_image_id", _TEXT, "the pair's own picture"),
            _column("inherited", _FLAG, "the caption came from a duplicate of the picture"),
            _column("keep_prob_wanted", _REAL, "keep probability before the download"),
            _column("keep_prob", _REAL, "keep probability of the run's selection"),
            _column("coin", _REAL, "the pair's coin"),
            _column("selected", _FLAG, "in the run's selection: coin < keep_prob, split train"),
            _column("width", _INT, "pixels of the survivor's picture"),
            _column("height", _INT, "pixels of the survivor's picture"),
            _column("shard", _TEXT, "tar file, relative to the manifest's folder"),
            _column("offset", _LONG, "offset of the picture's bytes in the shard"),
            _column("size", _LONG, "length of the picture's bytes"),
            _column("split", _TEXT, "train or heldout"),
        ]
    ),
}


def stable_columns(table: str) -> list[str]:
    """Return the columns of a table that its digest covers."""
    return [field.name for field in TABLES[table] if b"volatile" not in (field.metadata or {})]


def doc_of(table: str, column: str) -> str:
    """Return the line of documentation of a column."""
    return str(TABLES[table].field(column).metadata[b"doc"].decode())
