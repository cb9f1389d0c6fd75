"""Extract's promises, on made-up links, JSON, cuts and flips."""

import gzip
import json
import unicodedata
from collections import Counter
from hashlib import sha256
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wat_files import PAGE, image, member, page, read, sums

from curation.addresses import Base, resolve_plainly
from curation.ids import pair_id, pair_ids

PIECES = st.sampled_from(
    ["a", "b.png", "..", ".", "", "x y", "가", "%20", "q?r=/s/../t", "?", "#f", ";p", "p;", ":", "c:d", "\\", "//", "\t", " "]
)  # fmt: skip
HEADS = st.sampled_from(
    ["", "", "", "/", "//h.example", "http://h.example", "HTTPS://U:P@H.Example:80", "http:", "ftp://h", "data:", "http://[", "http://h:0"]
)  # fmt: skip
URLS = st.builds(lambda head, pieces: head + "/".join(pieces), HEADS, st.lists(PIECES, max_size=5)) | st.text(
    max_size=8
)
PAGES = st.sampled_from(
    [
        PAGE,
        "https://h.example",
        "http://H.example/a//b/../c.html",
        "http://h.example/d/?q=/e/f#g",
        "http://h/a;b/c",
    ]
)
TEXTS = (
    st.none() | st.integers() | st.text(max_size=6) | st.sampled_from([" ", "a\0", "\ud800", "e\u0301", "가"])
)
LINKS = st.one_of(
    st.none(),
    st.just({"path": "A@/href", "url": "x"}),
    st.fixed_dictionaries(
        {"path": st.sampled_from(["IMG@/src"] * 6 + [None, 3])},
        optional={"url": URLS | st.none() | st.integers(), "alt": TEXTS, "title": TEXTS, "data-x-title": TEXTS, "width": TEXTS},
    ),
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.just("IMG@/src"),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["Envelope", "Payload-Metadata", "HTTP-Response-Metadata", "HTML-Metadata", "Links", "path", "alt", "Head"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
WHOLE = member(b"format: WARC", kind="warcinfo") + b"".join(
    page([image(f"{n}/{m}.png", alt=f"text {n} {m}", title="t") for m in range(3)]) for n in range(6)
)
WHOLE_ROWS = {json.dumps(row) for row in read(WHOLE)[0]}


def oracle_url(base: str, url: Any) -> str | None:
    if not isinstance(url, str):
        return None
    url = url.strip(" \t\n\r\f").translate({9: None, 10: None, 13: None})
    if not url or any(char < " " or char == "\x7f" for char in url):
        return None
    try:
        alone = urlsplit(url)
        if (
            alone.scheme in {"http", "https"}
            and not alone.netloc
            and url[len(alone.scheme) :].startswith("://")
        ):
            return None  # urljoin would lend it the page's host
        parts = urlsplit(urljoin(base, url))
        user, at, host = parts.netloc.rpartition("@")
        joined = urlunsplit((parts.scheme.lower(), user + at + host.lower(), parts.path, parts.query, ""))
        joined.encode()
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return joined if usable and not any(char.isspace() for char in parts.netloc) else None


def oracle_rows(links: list[Any]) -> Counter[tuple[str, str, str, str]]:
    rows = Counter()
    for link in links:
        if not isinstance(link, dict) or link.get("path") != "IMG@/src":
            continue
        for source in ("alt", "title", "data-x-title"):
            text, url = link.get(source), oracle_url(PAGE, link.get("url"))
            sound = (
                isinstance(text, str)
                and text.strip()
                and not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)
            )
            if sound and url:
                key = f"v1\0{url}\0{unicodedata.normalize('NFC', text)}"
                rows[sha256(key.encode()).hexdigest()[:32], url, text, source] += 1
    return rows


@given(st.lists(LINKS, max_size=8))
@settings(deadline=None, max_examples=300)
def test_links_give_the_rows_of_a_plain_oracle(links: list[Any]) -> None:
    rows, tally = read(page(links))
    assert Counter((r["pair_id"], r["url"], r["text"], r["text_source"]) for r in rows) == oracle_rows(links)
    images = [link for link in links if isinstance(link, dict) and link.get("path") == "IMG@/src"]
    attributes = [len({"alt", "title", "data-x-title"} & set(link)) for link in images]
    nulls = sum(not isinstance(link, dict) or not isinstance(link.get("path"), str) for link in links)
    assert sums(tally)["candidates"][:2] == (sum(max(1, number) for number in attributes) + nulls, len(rows))


@given(PAGES, URLS)
@settings(deadline=None, max_examples=1_000)
@example("http://h/a/b", "?x=1")
@example("http://h/a/b", ".../x")
@example("http://h/a/b", "../../../../x")
@example("http://h/a/b", "http://h/x?")
@example("http://h/a/b", "http://h/a;?q")
def test_the_fast_path_resolves_as_the_plain_one(page_url: str, url: str) -> None:
    base = Base(page_url)
    expected = resolve_plainly(page_url, url)
    assert base.resolve(url) == expected == base.resolve(url)


@given(
    st.lists(st.text(max_size=9).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t)), max_size=5)
)
def test_ids_in_bulk_are_the_ids_one_by_one(texts: list[str]) -> None:
    url = "http://h.example/x"
    assert pair_ids(pa.array([url] * len(texts), pa.string()), texts).to_pylist() == [
        pair_id(url, text) for text in texts
    ]


@given(st.integers(0, len(WHOLE)))
@settings(deadline=None, max_examples=300)
def test_a_cut_never_raises_and_gives_no_row_that_the_whole_lacks(cut: int) -> None:
    rows, tally = read(WHOLE[:cut])
    assert {json.dumps(row) for row in rows} <= WHOLE_ROWS
    assert sums(tally)["records"][2].get("truncated", 0) <= 1


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255), st.integers(0, 3))
@settings(deadline=None, max_examples=300)
def test_a_flipped_byte_costs_one_record_at_most_and_never_changes_a_row(
    at: int, mask: int, extra: int
) -> None:
    broken = bytearray(WHOLE)
    broken[at] ^= mask
    broken[at:at] = b"\x1f\x8b\x08"[:extra]
    rows, tally = read(bytes(broken))
    assert {json.dumps(row) for row in rows} <= WHOLE_ROWS
    assert len(rows) >= len(WHOLE_ROWS) - 6
    records = sums(tally)["records"]
    assert 6 <= records[0] <= 8


@given(JSON, st.binary(max_size=6))
@settings(deadline=None, max_examples=300)
def test_hostile_json_is_counted_and_costs_no_other_record(value: Any, noise: bytes) -> None:
    good = page([image("x.png", alt="a cat")])
    for body in (json.dumps(value).encode(), json.dumps({"Envelope": value}).encode() + noise):
        _, tally = read(good + member(body) + good, keep_dropped=True)
        assert sums(tally)["records"][0] == 3
        assert sums(tally)["records"][1] >= 2


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_read_without_raising(data: bytes) -> None:
    read(data)
    read(gzip.compress(data))
    read(gzip.compress(b"WARC/1.0\r\n" + data))
