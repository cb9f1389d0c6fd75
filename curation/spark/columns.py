"""Column expressions that are the same bits as their Python twins in `curation.ids` and `curation.domains`."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from curation.domains import HOST, WWW
from curation.ids import TWO_TO_MINUS_53, coin_prefix


def coin(key: Column, seed: int, purpose: str) -> Column:
    """Return the coin of a key column of texts without nulls: the same bits as `curation.ids.coin`."""
    digest = F.xxhash64(F.concat(F.lit(coin_prefix(seed, purpose)), key))
    return F.shiftrightunsigned(digest, 11).cast("double") * F.lit(TWO_TO_MINUS_53)


def bucket(hex_id: Column, num_buckets: int) -> Column:
    """Return which of `num_buckets` equal ranges of ids a hex id falls in: `curation.ids.bucket`."""
    head = F.conv(F.substring(hex_id, 1, 8), 16, 10).cast("long")
    return F.shiftright(head * F.lit(num_buckets), 32).cast("int")


def host(url: Column) -> Column:
    """Return the host of an address: `curation.domains.host_of`."""
    return F.regexp_replace(F.regexp_extract(url, HOST, 1), WWW, "$1")
