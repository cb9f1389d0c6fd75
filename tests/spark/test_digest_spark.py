"""The digest without Spark is Spark's own, on every type that a table has."""

import math

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from curation.digest import table_digest
from curation.ids import coin
from curation.schemas import TABLES, stable_columns
from curation.spark.batches import plain
from curation.spark.stage import measure

TEXTS = ["", "a", "한국어 \U0001f600", "x" * 31, "x" * 32, "x" * 1000, "a\0b"]
REALS = [0.0, -0.0, 1.5, -1e300, 5e-324, math.inf, -math.inf, math.nan]
LONGS = [0, 1, -1, 2**63 - 1, -(2**63), 12345678901]


def value(field: pa.Field, key: str) -> object:
    """A value of the column's type by coin, edges among them; null where it may be."""
    chance = coin(key, 0, field.name)
    if field.nullable and chance < 0.3:
        return None
    if pa.types.is_string(field.type):
        return TEXTS[int(chance * 997) % len(TEXTS)]
    if pa.types.is_binary(field.type):
        return bytes(range(int(chance * 100)))
    if pa.types.is_boolean(field.type):
        return chance < 0.6
    if pa.types.is_float64(field.type):
        return REALS[int(chance * 997) % len(REALS)]
    if pa.types.is_list(field.type):
        return [int(coin(f"{key}{k}", 0, "id") * 2**32) - 2**31 for k in range(int(chance * 7))]
    longs = LONGS if pa.types.is_int64(field.type) else [n % 2**31 for n in LONGS]
    return longs[int(chance * 997) % len(longs)]


@pytest.mark.parametrize("name", sorted(set(TABLES) - {"entries"}))  # which no stage measures
def test_every_table_has_sparks_digest(name: str, spark: SparkSession) -> None:
    schema = plain(TABLES[name])
    rows = [{field.name: value(field, f"{name}{i}") for field in schema} for i in range(60)]
    table = pa.Table.from_pylist(rows, schema=schema)
    columns = stable_columns(name)
    assert table_digest(table.to_batches(max_chunksize=17), columns) == measure(
        spark.createDataFrame(table), columns
    )
