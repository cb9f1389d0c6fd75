"""xxHash64 of many keys at once is the package's, for every length, seed and way to lay the keys out."""

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from curation import ids
from curation.digest import coins_of
from curation.xxh64 import hash_keys, keys_of

SEEDS = np.array([0, 42, 2**32, 2**63, 2**64 - 1], dtype=np.uint64)


def test_a_key_of_any_length_and_seed_has_the_packages_hash() -> None:
    for length in range(140):
        data = b"".join(xxhash.xxh64_digest(f"{length}/{i}".encode()) for i in range(SEEDS.size * 18))
        keys = np.frombuffer(data, np.uint8)[: SEEDS.size * length].reshape(SEEDS.size, length)
        wanted = [
            xxhash.xxh64_intdigest(key.tobytes(), int(seed)) for key, seed in zip(keys, SEEDS, strict=True)
        ]
        assert hash_keys(keys, SEEDS).tolist() == wanted


@pytest.mark.parametrize(
    "texts", [[f"{i:032x}" for i in range(50)], ["a", "", "한국어", "\0"] * 9, [""] * 3, ["x"], []]
)
@pytest.mark.parametrize("begin", [0, 1, 7])
def test_coins_of_a_column_are_those_of_its_keys(texts: list[str], begin: int) -> None:
    column = pa.array(texts, pa.string())[begin:]  # a slice has an offset into what it is of
    assert coins_of(column, 3, "balance").tolist() == [ids.coin(key, 3, "balance") for key in texts[begin:]]


def test_keys_of_different_lengths_are_told_apart() -> None:
    assert keys_of(pa.array(["ab", "c"])) is None
    found = keys_of(pa.array(["zz", "ab", "cd"])[1:])
    assert found is not None
    assert [bytes(key) for key in found] == [b"ab", b"cd"]
