"""Parquet pools into pairs: tables of addresses and texts that others have published.

Step `extract`: LAION's (URL, TEXT), COYO's and DataComp's (url, text), or the columns that the configuration names, in; table
`pairs` out. A row is a record; a row with each of its text columns is a candidate.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curation.addresses import resolve_absolute
from curation.config import ExtractSection
from curation.errors import InputError, Reason
from curation.extract import Candidates, text_fault
from curation.stage import Tally
from curation.wat import Source

KNOWN_COLUMNS = (("URL", "TEXT"), ("url", "text"))  # LAION-5B and -400M; COYO-700M and DataComp
READ_ROWS = 8_192  # rows in memory at once
TASK_ROWS = 500_000  # rows of a task, about: row groups are joined up to this many


class PoolPlan(NamedTuple):
    """What a pool's footer says."""

    url_column: str
    text_columns: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]
    """Row groups of each task: first, and one past the last."""


def plan_pool(source: Source, address: str, section: ExtractSection) -> PoolPlan:
    """Return the columns to read and the row groups of each task. Raises InputError that names the file."""
    try:
        file = pq.ParquetFile(source)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"the input {address} is not Parquet that can be read: {error}") from error
    url_column, text_columns = _columns(file.schema_arrow, address, section)
    rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    return PoolPlan(url_column, text_columns, tuple(_ranges(rows)))


def _columns(schema: pa.Schema, address: str, section: ExtractSection) -> tuple[str, tuple[str, ...]]:
    known = next((names for names in KNOWN_COLUMNS if set(names) <= set(schema.names)), (None, None))
    url_column = section.url_column or known[0]
    text_columns = section.text_columns or ((known[1],) if known[1] else ())
    wanted = [name for name in (url_column, *text_columns) if name]
    missing = [name for name in wanted if name not in schema.names]
    if url_column is None or not text_columns or missing:
        raise InputError(
            f"the pool {address} has the columns {schema.names}, not {missing or list(KNOWN_COLUMNS)}; "
            "name its columns in extract.url_column and extract.text_columns"
        )
    for name in wanted:
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not _is_text(kind):
            raise InputError(f"the pool {address} has {kind} in column {name!r}, a text is wanted")
    return url_column, tuple(text_columns)


def _is_text(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _ranges(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Join row groups, in order, into ranges of about TASK_ROWS rows."""
    first = held = 0
    for group, number in enumerate(rows):
        held += number
        if held >= TASK_ROWS or group == len(rows) - 1:
            yield first, group + 1
            first, held = group + 1, 0


def extract_pool(
    source: Source,
    tally: Tally,
    plan: PoolPlan,
    groups: tuple[int, int],
    *,
    origin: str,
    crawl: str | None = None,
    keep_dropped: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yield batches of `pairs` from a range of row groups; dropped rows, if asked for, in batches of their own with `_reason`.

    Rows of a row group that cannot be decoded are BAD_RECORD. Only failures of the stream itself are raised.
    """
    candidates = Candidates(tally, origin=origin, crawl=crawl, keep_dropped=keep_dropped)
    file = pq.ParquetFile(source)
    names = [plan.url_column, *plan.text_columns]
    for group in range(*groups):
        left = file.metadata.row_group(group).num_rows
        try:
            for batch in file.iter_batches(READ_ROWS, row_groups=[group], columns=names, use_threads=False):
                left -= batch.num_rows
                _add_rows(batch, plan, candidates)
                yield from candidates.flush()
        except (pa.ArrowException, OSError):
            if source.failure is not None:
                raise
            candidates.drop_record(Reason.BAD_RECORD, rows=left)
    yield from candidates.flush()


def _add_rows(batch: pa.RecordBatch, plan: PoolPlan, candidates: Candidates) -> None:
    """Take a batch's rows, each with each of its texts."""
    urls = _texts(batch.column(plan.url_column))
    columns = [(name, _texts(batch.column(name))) for name in plan.text_columns]
    candidates.keep_record(batch.num_rows)
    for row, raw in enumerate(urls):
        url: str | Reason | None = None
        for name, texts in columns:
            text = texts[row]
            fault = Reason.UNDECODABLE_BYTES if isinstance(text, bytes) else text_fault(text)
            if fault is None:
                url = url or (Reason.UNDECODABLE_BYTES if isinstance(raw, bytes) else resolve_absolute(raw))
                if not isinstance(url, Reason):
                    candidates.urls.append(url)
                    candidates.texts.append(text)
                    candidates.text_sources.append(name)
                    continue
                fault = url
            candidates.drop(fault, raw, text, name)
    candidates.end_page("")


def _texts(column: pa.Array) -> list[Any]:
    """Return a column's texts; where the bytes are not UTF-8, the bytes."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    large = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    return [_decoded(value) for value in column.cast(pa.large_binary() if large else pa.binary()).to_pylist()]


def _decoded(value: bytes | None) -> str | bytes | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
