"""Extract without Spark: single cases by hand, the pool's real files, Parquet pools, inputs."""

import gzip
import io
import json
from collections import Counter
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wat_files import PAGE, image, member, page, page_json, read, sums

from curation.addresses import Base, resolve_absolute, resolve_plainly
from curation.config import ExtractSection
from curation.errors import ConfigError, InputError, Reason
from curation.extract import extract_wat, text_sources
from curation.ids import pair_id
from curation.inputs import find_inputs, open_input
from curation.pool import extract_pool, plan_pool
from curation.stage import Tally
from curation.wat import Source, read_records

GOOD = page([image("x.png", alt="a cat")])
WARCINFO = member(b"format: WARC", kind="warcinfo")


def test_a_row_holds_what_was_read_and_where() -> None:
    rows, tally = read(WARCINFO + page([image("../c/x.png#top", alt=" a  cat ", data_image_title="t")]))
    url = "http://site.example/a/c/x.png"
    shared = {"url": url, "page_url": PAGE, "origin": "x.wat.gz", "crawl": "c"}
    assert rows == [
        {"pair_id": pair_id(url, " a  cat "), "text": " a  cat ", "text_source": "alt"} | shared,
        {"pair_id": pair_id(url, "t"), "text": "t", "text_source": "data-image-title"} | shared,
    ]
    assert sums(tally) == {"records": (2, 1, {"not_a_page": 1}), "candidates": (2, 2, {})}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (member(b""), "empty_record"),
        (member(b"  "), "empty_record"),
        (member(b'{"Envelope": {'), "bad_json"),
        (member(b"[1]"), "bad_json"),
        (member(b'{"Envelope": {"Payload-Metadata": 3}}'), "bad_json"),
        (member(b"[" * 100_000), "bad_json"),
        (member(b'{"\\ud800": ' * 100_000), "bad_json"),
        (member(b'{"a": "\\ud800", "b": NaN}'), "bad_json"),
        (member('{"é": 1}'.encode("latin-1")), "undecodable_bytes"),
        (member(b'{"Envelope": {"Payload-Metadata": {"HTTP-Request-Metadata": {}}}}'), "not_a_page"),
        (member(b"x", kind="request"), "not_a_page"),
        (page(None), "no_links"),
        (page([]), "no_links"),
        (page([{"path": "A@/href", "url": "x.png", "text": "t"}]), "no_links"),
        (page({"a": 1}), "bad_json"),
        (page([image("x.png", alt="t")], uri="dns:site.example"), "bad_page_url"),
        (page([image("x.png", alt="t")], uri="http://[::1"), "bad_page_url"),
        (page([image("x.png", alt="t")], uri="http://a.example/\ud800"), "bad_page_url"),
        (page([image("x.png", alt="t")], uri=7), "bad_page_url"),
        (b"garbage between members", "bad_record"),
        pytest.param(
            gzip.compress(b"a member, but not a record", mtime=0), "bad_record", id="a member, but no record"
        ),
        (GOOD[:40] + bytes([GOOD[40] ^ 0x55]) + GOOD[41:], "bad_record"),
        (GOOD[:-8] + b"\0\0\0\0" + GOOD[-4:], "bad_record"),
        (member(page_json([image("x.png", alt="t")]), length=20), "bad_record"),
    ],
)
def test_a_broken_record_costs_itself_alone(record: bytes, reason: str) -> None:
    rows, tally = read(WARCINFO + GOOD + record + GOOD, keep_dropped=True)
    dropped = Counter({"not_a_page": 1}) + Counter({reason: 1})
    assert sums(tally)["records"] == (4, 2, dict(dropped))
    assert [row["text"] for row in rows if row["pair_id"]] == ["a cat", "a cat"]
    assert [row["_reason"] for row in rows if "_reason" in row] == [r for r in [reason] if r != "not_a_page"]


def test_a_content_length_that_swallows_its_neighbour_costs_no_more_than_both() -> None:
    body = page_json([image("x.png", alt="t")])
    rows, tally = read(GOOD + member(body, length=len(body) + 50) + GOOD + GOOD)
    records = sums(tally)["records"]
    assert records[2] == {"bad_record": 1}
    assert len(rows) == records[1] >= 2


def test_the_page_of_a_record_without_one_is_its_headers() -> None:
    rows, _ = read(page([image("x.png", alt="t")], uri=None))
    assert rows[0]["page_url"] == PAGE


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        (None, "null_link"),
        ([], "null_link"),
        ("IMG@/src", "null_link"),
        ({}, "null_link"),
        ({"path": None}, "null_link"),
        (image("x.png"), "no_text"),
        (image("x.png", alt=None), "no_text"),
        (image("x.png", alt="\u3000 \n"), "no_text"),
        (image("x.png", alt=["t"]), "bad_text"),
        (image("x.png", alt="a\0b"), "bad_text"),
        (image("x.png", alt="a\ud83d"), "bad_text"),
        ({"path": "IMG@/src", "alt": "t"}, "no_url"),
        (image(" ", alt="t"), "no_url"),
        (image(["x"], alt="t"), "bad_url"),
        (image("http://[::1", alt="t"), "bad_url"),
        (image("http://", alt="t"), "bad_url"),
        (image("http://h:99999/", alt="t"), "bad_url"),
        (image("http://a b/", alt="t"), "bad_url"),
        (image("x\0.png", alt="t"), "bad_url"),
        (image("x\udc00.png", alt="t"), "bad_url"),
        (image("data:image/png;base64,AAAA", alt="t"), "not_http"),
        (image("ftp://h/x.png", alt="t"), "not_http"),
        (image("javascript:void(0)", alt="t"), "not_http"),
    ],
)
def test_a_broken_link_costs_its_candidate_alone(link: object, reason: str) -> None:
    rows, tally = read(page([image("x.png", alt="a cat"), link]), keep_dropped=True)
    assert sums(tally) == {"records": (1, 1, {}), "candidates": (2, 1, {reason: 1})}
    assert [row.get("_reason") for row in rows] == [None, reason]


def test_the_base_element_counts_where_it_is_sound() -> None:
    links = [image("x.png", alt="t")]
    for base, url in [
        ("/z/", "http://site.example/z/x.png"),
        ("https://cdn.example/i/j", "https://cdn.example/i/x.png"),
        ("data:,", "http://site.example/a/b/x.png"),
        (["/z/"], "http://site.example/a/b/x.png"),
    ]:
        assert read(page(links, head={"Base": base}))[0][0]["url"] == url


def test_text_sources_are_alt_title_and_data_titles() -> None:
    names = ("path", "url", "alt", "title", "data-image-title", "data-title", "data-\ud800-title", "srcset")
    assert text_sources(names) == ("alt", "title", "data-image-title")


def test_an_easy_address_is_resolved_as_a_hard_one() -> None:
    base = "https://H.example/a/b/c.html?d=/e/"
    for url in [
        "x",
        "./x",
        "../x",
        "../../../x",
        "/x",
        "//o/x",
        "?x",
        "a/./x",
        ".x",
        "x?y/../z",
        "x;y",
        "HTTP://A/X#y",
    ]:
        assert Base(base).resolve(url) == resolve_plainly(base, url)
    assert resolve_absolute("x.png") == Reason.NOT_HTTP


@pytest.mark.parametrize("packed", [gzip.compress, bytes])
def test_records_outside_of_members_of_their_own_are_read_too(packed: type[bytes]) -> None:
    plain = gzip.decompress(WARCINFO + GOOD * 3)
    assert sums(read(packed(plain))[1])["records"] == (4, 3, {"not_a_page": 1})
    cut = sums(read(packed(plain)[:-60])[1])["records"]
    assert cut[2] == {"not_a_page": 1, "truncated": 1}


def test_a_broken_network_is_no_broken_file() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        list(read_records(Source(Broken(GOOD))))


def count_naively(path: Path) -> tuple[Counter[str], set[tuple[str, str]]]:
    """Return image links, texts and kept candidates, and the kept (address, text), by json, gzip and urllib alone."""
    found: Counter[str] = Counter()
    kept = set()
    for record in gzip.decompress(path.read_bytes()).split(b"WARC/1.0\r\n")[1:]:
        _, _, body = record.partition(b"\r\n\r\n")
        try:
            envelope = json.loads(body)["Envelope"]
            links = envelope["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"]["Links"]
        except (ValueError, KeyError):
            found["records unread"] += 1
            continue
        images = [link for link in links if link and link.get("path") == "IMG@/src"]
        found["null links"] += sum(not link or not link.get("path") for link in links)
        found["links"] += len(images)
        for link in images:
            texts = [link[name] for name in ("alt", "title", "data-image-title") if name in link]
            found["texts"] += len(texts)
            found["links without a text"] += not texts
            for text in texts:
                try:
                    url = urljoin(envelope["WARC-Header-Metadata"]["WARC-Target-URI"], link["url"].strip())
                    usable = bool(urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname)
                except ValueError:
                    continue
                if link["url"] == "http://":  # urljoin would lend it the page's host
                    continue
                if usable and text.strip() and "\0" not in text:
                    found["kept"] += 1
                    kept.add((url.partition("#")[0], text))
    return found, kept


def test_the_pool_gives_what_a_naive_count_gives(shared: Path) -> None:
    naive: Counter[str] = Counter()
    total = Tally()
    for path in sorted((shared / "pool/wat").glob("*.wat.gz")):
        rows, tally = read(path.read_bytes(), origin=path.name)
        total.add_json(tally.to_json())
        found, kept = count_naively(path)
        naive += found
        assert {(row["url"], row["text"]) for row in rows} == kept
        assert len(rows) == found["kept"]
    assert naive["links"] == 51_938
    assert naive["texts"] == 77_304
    candidates = naive["texts"] + naive["links without a text"] + naive["null links"]
    assert sums(total) == {
        "records": (7_259, 4_912, {"bad_json": 7, "empty_record": 13, "no_links": 2_311, "not_a_page": 8, "undecodable_bytes": 8}),
        "candidates": (candidates, naive["kept"], {"bad_text": 90, "bad_url": 45, "no_text": 1_227, "not_http": 111, "null_link": 12}),
    }  # fmt: skip
    assert (candidates, naive["kept"]) == (78_443, 76_958)


def test_the_real_common_crawl_sample_is_read(shared: Path) -> None:
    _, tally = read((shared / "sources/commoncrawl-sample.warc.wat.gz").read_bytes())
    assert sums(tally)["records"] == (2, 0, {"not_a_page": 2})


def read_pool(
    table: pa.Table, section: ExtractSection | None = None, **options: int
) -> tuple[list[dict], Tally]:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    source, tally = Source(io.BytesIO(file.getvalue())), Tally()
    plan = plan_pool(source, "pool.parquet", section or ExtractSection())
    rows = [
        row
        for groups in plan.ranges
        for batch in extract_pool(source, tally, plan, groups, origin="p", keep_dropped=True)
        for row in batch.to_pylist()
    ]
    for ledger in tally.ledgers.values():
        ledger.close()
    return rows, tally


@pytest.mark.parametrize(("url", "text"), [("URL", "TEXT"), ("url", "text")])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_pools_of_the_known_layouts_are_read(url: str, text: str, kind: pa.DataType) -> None:
    urls = ["http://H.example/x.png#f", "ftp://h/x", None, "http://[", "x.png", "http://h/y"]
    texts = ["a cat", "t", "t", "t", "t", " "]
    columns = {url: pa.array(urls, kind), text: pa.array(texts, kind), "similarity": pa.array([0.3] * 6)}
    rows, tally = read_pool(pa.table(columns), row_group_size=2)
    assert rows[0]["url"] == "http://h.example/x.png"
    assert rows[0]["text_source"] == text
    assert rows[0]["page_url"] == ""
    dropped = {"bad_url": 1, "no_text": 1, "no_url": 1, "not_http": 2}
    assert sums(tally) == {"records": (6, 6, {}), "candidates": (6, 1, dropped)}


def test_bytes_of_a_pool_that_are_not_text_are_dropped() -> None:
    columns = {"url": pa.array([b"http://h/x", b"http://h/\xff"]), "text": pa.array([b"\xff", b"t"])}
    assert sums(read_pool(pa.table(columns))[1])["candidates"] == (2, 0, {"undecodable_bytes": 2})


def test_columns_of_a_pool_can_be_named_and_wrong_ones_are_refused() -> None:
    table = pa.table({"image": ["http://h/x"], "en": ["a"], "ko": ["가"], "n": [1]})
    rows, _ = read_pool(table, ExtractSection(url_column="image", text_columns=("en", "ko")))
    assert [(row["text"], row["text_source"]) for row in rows] == [("a", "en"), ("가", "ko")]
    for section, said in [
        (ExtractSection(), "extract.url_column"),
        (ExtractSection(url_column="image", text_columns=("fr",)), r"\['fr'\]"),
        (ExtractSection(url_column="image", text_columns=("n",)), "a text is wanted"),
    ]:
        with pytest.raises(InputError, match=said):
            read_pool(table, section)


def test_a_row_group_that_cannot_be_decoded_costs_its_rows() -> None:
    file = io.BytesIO()
    pq.write_table(
        pa.table({"url": ["http://h/x"] * 3000, "text": [f"t{i}" for i in range(3000)]}),
        file,
        row_group_size=1000,
    )
    data = bytearray(file.getvalue())
    broken = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(1).column(1)
    start = broken.dictionary_page_offset
    data[start : start + 200] = b"\xff" * 200
    source, tally = Source(io.BytesIO(bytes(data))), Tally()
    plan = plan_pool(source, "p", ExtractSection())
    rows = [b for g in plan.ranges for b in extract_pool(source, tally, plan, g, origin="p")]
    assert sums(tally)["records"] == (3000, 2000, {"bad_record": 1000})
    assert sum(batch.num_rows for batch in rows) == 2000


def test_inputs_are_found_once_sorted_and_named_from_their_root(tmp_path: Path) -> None:
    for name in ("b/2.wat.gz", "a/1.wat.gz", "a/p.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(GOOD)
    patterns = (f"{tmp_path}/*/*.wat.gz", f"{tmp_path}/a/*", f"{tmp_path}/b/2.wat.gz")
    files = find_inputs(ExtractSection(inputs=patterns))
    assert [(f.origin, f.is_pool, f.size) for f in files] == [
        ("a/1.wat.gz", False, len(GOOD)), ("a/p.parquet", True, len(GOOD)), ("b/2.wat.gz", False, len(GOOD))
    ]  # fmt: skip
    assert all(f.stamp for f in files)
    rooted = find_inputs(ExtractSection(inputs=patterns[2:], root=str(tmp_path)))
    assert rooted[0].origin == "b/2.wat.gz"
    assert find_inputs(ExtractSection(inputs=patterns[2:]))[0].origin == "2.wat.gz"
    with pytest.raises(InputError, match=r"does not lie under extract\.root"):
        find_inputs(ExtractSection(inputs=patterns, root=f"{tmp_path}/a"))


def test_an_input_that_cannot_be_opened_is_named_before_any_work(tmp_path: Path) -> None:
    for pattern in (f"{tmp_path}/none.wat.gz", f"{tmp_path}/*.wat.gz", str(tmp_path), "nowhere://x/y.gz"):
        with pytest.raises(InputError) as caught:
            find_inputs(ExtractSection(inputs=(pattern,)))
        assert pattern in str(caught.value)
    with pytest.raises(ConfigError, match=r"extract\.inputs is empty"):
        find_inputs(ExtractSection())
    with pytest.raises(InputError, match=r"none\.gz"), open_input(f"{tmp_path}/none.gz"):
        pass


def test_batches_do_not_depend_on_who_reads_them() -> None:
    data = page([image(f"{i}.png", alt=f"t {i}") for i in range(9_000)]) * 2
    batches = list(extract_wat(Source(io.BytesIO(data)), Tally(), origin="x"))
    assert [batch.num_rows for batch in batches] == [9_000, 9_000]
