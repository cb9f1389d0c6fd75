"""Ids are contents, and a coin is a function of key, seed and purpose alone."""

import hashlib
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ids import _canonical_by_parts, bucket, canonical_url, coin, coins, pair_id

UTF8_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_pair_id_is_the_documented_hash() -> None:
    given_url, text = "HTTP://User@Example.COM/Path?Q=1#part", unicodedata.normalize("NFD", "고양이 é")
    key = "v1\0http://User@example.com/Path?Q=1\0" + unicodedata.normalize("NFC", text)
    assert pair_id(given_url, text) == hashlib.sha256(key.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://a.example/b", "http://a.example/b"),
        ("HTTP://A.Example/B#x", "http://a.example/B"),
        ("http://a.example", "http://a.example"),
        ("http://a.example/?q=A#", "http://a.example/?q=A"),
        ("https://U:P@A.example:80/", "https://U:P@a.example:80/"),
        ("http://한국.example/가#나", "http://한국.example/가"),
    ],
)
def test_canonical_url_lowers_scheme_and_host_and_cuts_the_fragment(url: str, wanted: str) -> None:
    assert canonical_url(url) == wanted
    assert canonical_url(wanted) == wanted


@given(st.text(st.sampled_from("aZ:/?#@.[]é \n\t%1"), max_size=12))
def test_the_fast_path_changes_nothing_and_canonical_is_final(rest: str) -> None:
    try:
        wanted = _canonical_by_parts(f"http://a{rest}")
    except ValueError:
        return
    assert canonical_url(f"http://a{rest}") == wanted
    assert canonical_url(wanted) == wanted


@given(UTF8_TEXT, UTF8_TEXT)
def test_a_pair_has_one_id_in_any_normal_form(path: str, text: str) -> None:
    url = f"http://a.example/{path.replace('#', '')}"
    assert pair_id(url, unicodedata.normalize("NFD", text)) == pair_id(
        url + "#x", unicodedata.normalize("NFC", text)
    )


def test_a_lone_surrogate_has_no_id() -> None:
    with pytest.raises(UnicodeEncodeError):
        pair_id("http://a.example/", "\ud800")


@given(st.lists(UTF8_TEXT), st.integers(0, 2**31), st.sampled_from(["balance", "heldout"]))
def test_coins_of_many_are_the_coins_of_each(keys: list[str], seed: int, purpose: str) -> None:
    assert coins(keys, seed, purpose).tolist() == [coin(key, seed, purpose) for key in keys]


def test_coins_are_uniform_and_differ_by_seed_and_purpose() -> None:
    keys = [str(i) for i in range(20_000)]
    found = coins(keys, 0, "balance")
    assert 0 <= found.min() < found.max() < 1
    counts = np.histogram(found, bins=20, range=(0, 1))[0]
    chi2 = float(((counts - 1000.0) ** 2 / 1000.0).sum())
    assert chi2 < 50  # 19 degrees of freedom: 50 is beyond 1 in 7,000
    for other in (coins(keys, 1, "balance"), coins(keys, 0, "heldout")):
        assert abs(np.corrcoef(found, other)[0, 1]) < 0.03


@given(st.binary(min_size=32, max_size=32), st.integers(1, 1000))
def test_buckets_are_ranges_of_ids(data: bytes, num_buckets: int) -> None:
    found = bucket(data.hex(), num_buckets)
    assert 0 <= found < num_buckets
    assert found == int(data.hex()[:8], 16) * num_buckets // 2**32
