"""Files of removals into `curation.removals.Removals`: text, CSV or Parquet, local or wherever fsspec opens, gzip too.

A line that cannot be understood is an error that names it: a request to be removed that is passed over in silence would be worse.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import fsspec
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from curation.errors import InputError
from curation.inputs import find_files
from curation.removals import ITEMS, Removals, item_of, removals_of

MAX_LINE = 8_192  # characters; a longer line is no address
LINES = 65_536  # in memory at once
SHOWN = 3  # faults that an error names

Found = tuple[str, Sequence[int]]


def load_removals(patterns: Sequence[str]) -> Removals:
    """Read the files of `[run] removals`, globs too. Raises InputError that names the file and the first lines at fault."""
    return removals_of(_items(patterns) if patterns else iter(()))


def _items(patterns: Sequence[str]) -> Iterator[Found]:
    for file in find_files(patterns):
        try:
            yield from _items_of(file.address)
        except (OSError, EOFError, pa.ArrowException) as error:
            raise InputError(f"cannot read the removals in {file.address}: {error}") from error


def _items_of(address: str) -> Iterator[Found]:
    bare = address.lower().removesuffix(".gz")
    if bare.endswith(".parquet"):
        with fsspec.open(address, "rb") as stream:
            parquet = pq.ParquetFile(stream)
            names = _columns(parquet.schema_arrow.names, address)
            yield from _table_items(parquet.iter_batches(LINES, columns=names), address, first=1)
    elif bare.endswith(".csv"):
        yield from _csv_items(address)
    else:
        with fsspec.open(address, "rb", compression="infer") as stream:
            yield from _text_items(io.TextIOWrapper(stream, "utf-8-sig", errors="strict"), address)


def _csv_items(address: str) -> Iterator[Found]:
    """Read a CSV by blocks, every column as text."""
    with fsspec.open(address, "rt", encoding="utf-8-sig", errors="replace", compression="infer") as stream:
        header = next(csv.reader([stream.readline(MAX_LINE)]), [])
    names = _columns(header, address)
    options = pcsv.ConvertOptions(
        include_columns=names, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )  # fmt: skip
    with fsspec.open(address, "rb", compression="infer") as stream:
        yield from _table_items(pcsv.open_csv(stream, convert_options=options), address, first=2)


def _columns(names: Sequence[str], address: str) -> list[str]:
    known = [name for name in names if name in ITEMS]
    if not known:
        raise InputError(
            f"the removals in {address} have the columns {list(names)}; name one {' or '.join(ITEMS)}"
        )
    return known


def _table_items(batches: Iterable[pa.RecordBatch], address: str, *, first: int) -> Iterator[Found]:
    """Yield the items of a table's batches; rows are named from `first` on."""
    faults = _Faults(address, "row")
    for batch in batches:
        for name in batch.schema.names:
            if not pa.types.is_string(batch.column(name).type) and not pa.types.is_large_string(
                batch.column(name).type
            ):
                raise InputError(
                    f"the removals in {address} have {batch.column(name).type} in column {name!r}; text is wanted"
                )
            rows = ((first + i, text) for i, text in enumerate(batch.column(name).to_pylist()) if text)
            yield from faults.read(rows, ITEMS[name])
        first += batch.num_rows
    faults.close()


def _text_items(lines: io.TextIOWrapper, address: str) -> Iterator[Found]:
    faults = _Faults(address, "line")
    numbered = enumerate(_bounded(lines), 1)
    try:
        while chunk := list(islice(numbered, LINES)):
            yield from faults.read(chunk, item_of)
    except UnicodeDecodeError as error:
        raise InputError(f"the removals in {address} are not UTF-8: {error}") from error
    faults.close()


def _bounded(lines: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines, of one that has no end only so much as is needed to refuse it."""
    while line := lines.readline(MAX_LINE + 2):
        yield line
        while len(line) > MAX_LINE and not line.endswith("\n"):
            line = lines.readline(MAX_LINE + 2)
            if not line:
                return


class _Faults:
    """Reads items, and keeps the first that cannot be read for one error at the end."""

    def __init__(self, address: str, unit: str) -> None:
        self._address, self._unit = address, unit
        self._first: list[str] = []
        self._number = 0

    def read(self, rows: Iterable[tuple[int, str]], parse: object) -> Iterator[Found]:
        """Yield the hashes of some rows, a kind at a time."""
        assert callable(parse)
        found: dict[str, list[int]] = {}
        for number, text in rows:
            try:
                if len(text) > MAX_LINE:
                    raise ValueError(f"longer than {MAX_LINE} characters")
                item = parse(text)
            except ValueError as error:
                self._number += 1
                if len(self._first) < SHOWN:
                    self._first.append(f"{self._unit} {number}: {error}")
                continue
            if item:
                found.setdefault(item[0], []).append(item[1])
        yield from found.items()

    def close(self) -> None:
        """Raise InputError where anything could not be read."""
        if self._number:
            raise InputError(
                f"the removals in {self._address} have {self._number} {self._unit}s that are no address, domain or SHA-256: "
                f"{'; '.join(self._first)}; correct them, or put a # before them"
            )
