"""The demo's web: the same bytes from the same seed, and a truth that names exactly what the pages say."""

import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pyarrow.parquet as pq
import pytest

from curation.demo.entries import table
from curation.demo.files import HOSTS
from curation.demo.web import DemoWeb, build
from curation.errors import ConfigError, InputError
from curation.ids import canonical_url
from trainer.classes import load_classes

PICTURES = 200


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> DemoWeb:
    return build(tmp_path_factory.mktemp("demo") / "web", seed=3, pictures=PICTURES)


@dataclass
class Record:
    headers: str
    payload: bytes

    @property
    def page(self) -> str:
        return self.headers.partition("WARC-Target-URI: ")[2].partition("\r\n")[0]


def members(path: Path) -> Iterator[bytes]:
    """Yield the gzip members of a file; the last one of the last file is not whole and is left out."""
    rest = path.read_bytes()
    while rest:
        inflate = zlib.decompressobj(31)
        content = inflate.decompress(rest)
        if not inflate.eof:
            return
        yield content
        rest = inflate.unused_data


def records(web: DemoWeb) -> list[Record]:
    found = []
    for path in sorted(Path(web.wat).parent.glob("*.warc.wat.gz")):
        for member in members(path):
            head, _, body = member.partition(b"\r\n\r\n")
            length = int(head.decode().partition("Content-Length: ")[2].split("\r\n")[0])
            assert body[length:] == b"\r\n\r\n"
            found.append(Record(head.decode(), body[:length]))
    return found


def links_of(record: Record) -> list[Any]:
    metadata = json.loads(record.payload)["Envelope"]["Payload-Metadata"]
    return metadata["HTTP-Response-Metadata"]["HTML-Metadata"]["Links"]


def pages(web: DemoWeb) -> list[Record]:
    return [r for r in records(web) if r.page and "broken" not in r.page]


def tree(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_equal_seeds_give_equal_bytes_and_times(web: DemoWeb, tmp_path: Path) -> None:
    again = build(tmp_path / "other name", seed=3, pictures=PICTURES)
    assert tree(again.folder) == tree(web.folder)
    for name in tree(web.folder):
        assert (again.folder / name).stat().st_mtime == (web.folder / name).stat().st_mtime


def test_another_seed_gives_other_bytes(web: DemoWeb, tmp_path: Path) -> None:
    other, same = tree(build(tmp_path / "web", seed=4, pictures=PICTURES).folder), tree(web.folder)
    equal = {name for name in same if other.get(name) == same[name]}
    assert equal == {"entries.parquet", "objects.json", "colours.json"}


def test_a_built_web_is_not_built_again_and_another_replaces_it(tmp_path: Path) -> None:
    first = build(tmp_path / "web", seed=0, pictures=5)
    inode = first.entries.stat().st_ino
    assert build(tmp_path / "web", seed=0, pictures=5) == first
    assert first.entries.stat().st_ino == inode
    assert build(tmp_path / "web", seed=1, pictures=5).seed == 1
    assert [path.name for path in tmp_path.iterdir()] == ["web"]


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="something else"):
        build(tmp_path, seed=0, pictures=5)
    assert (tmp_path / "letter.txt").read_text() == "dear"
    with pytest.raises(ConfigError, match="1 or more"):
        build(tmp_path / "web", seed=0, pictures=0)


def test_truth_names_exactly_the_pairs_on_the_pages(web: DemoWeb) -> None:
    said = set()
    for record in pages(web):
        for link in links_of(record):
            if link["path"] == "IMG@/src":
                url = canonical_url(urljoin(record.page, link["url"]))
                said |= {(url, text) for name, text in link.items() if name not in {"path", "url"} and text}
    truth = pq.read_table(web.captions).to_pylist()
    assert {(row["url"], row["text"]) for row in truth} == said
    assert len(truth) == len(said) == web.counts["captions"]


def test_truth_names_exactly_the_addresses_linked_to_pictures(web: DemoWeb) -> None:
    urls = {
        canonical_url(urljoin(r.page, link["url"]))
        for r in pages(web)
        for link in links_of(r)
        if link["path"] == "IMG@/src"
    }
    rows = {row["url"]: row for row in pq.read_table(web.pictures).to_pylist()}
    assert urls <= set(rows)
    assert {url for url in rows if rows[url]["fault"] != "icon"} <= urls
    assert len(rows) == web.counts["files"]
    assert all(row["copy_of"] in rows for row in rows.values() if row["copy_of"])


def test_bodies_are_there_for_all_but_the_missing_and_exact_copies_are_exact(web: DemoWeb) -> None:
    with zipfile.ZipFile(web.folder / "site.zip") as site:
        names = set(site.namelist())
        for row in pq.read_table(web.pictures).to_pylist():
            name = row["url"].removeprefix("http://")
            assert (name in names) == (row["fault"] not in {"missing", "no_such_host"})
            if row["transform"] == "exact" and "/x/" in name:
                assert site.read(name) == site.read(row["copy_of"].removeprefix("http://"))


def test_broken_records_are_there_in_the_stated_number(web: DemoWeb) -> None:
    broken = [r for r in records(web) if "broken" in r.page]
    assert len(broken) == sum(web.broken.values()) - web.broken["truncated"]
    seen: Counter[str] = Counter()
    for record in broken:
        try:
            value = json.loads(record.payload.decode())
        except UnicodeDecodeError:
            seen["undecodable_bytes"] += 1
        except json.JSONDecodeError:
            seen["empty_record" if not record.payload else "bad_json"] += 1
        else:
            metadata = value["Envelope"]["Payload-Metadata"].get("HTTP-Response-Metadata", {"request": 1})
            links = metadata.get("HTML-Metadata", {"Links": "not html"}).get("Links", "no links")
            seen["request" if "request" in metadata else "null_links" if links is None else str(links)] += 1
    stated = web.broken
    assert seen["undecodable_bytes"] == stated["undecodable_bytes"]
    assert (seen["empty_record"], seen["bad_json"]) == (stated["empty_record"], stated["bad_json"])
    assert (seen["request"], seen["null_links"]) == (stated["request"], stated["null_links"])
    assert (seen["no links"], seen["not html"]) == (stated["no_links"], stated["not_html"])
    assert seen["[None]"] == stated["null_link"]


def test_every_wat_file_begins_with_warcinfo_and_the_last_is_cut(web: DemoWeb) -> None:
    paths = sorted(Path(web.wat).parent.glob("*.warc.wat.gz"))
    assert len(paths) > 1
    assert all(b"WARC-Type: warcinfo" in next(members(path)) for path in paths)
    whole = [sum(len(zlib.compress(m, 6, wbits=31)) for m in members(path)) for path in paths]
    sizes = [path.stat().st_size for path in paths]
    assert whole[:-1] == sizes[:-1]
    assert whole[-1] < sizes[-1]


def test_links_are_one_and_a_half_to_two_times_the_pictures(web: DemoWeb) -> None:
    assert 1.5 * PICTURES <= web.counts["links"] <= 2 * PICTURES + len(web.broken)


def test_some_pictures_are_told_of_in_both_languages(web: DemoWeb) -> None:
    langs: dict[str, set[str]] = {}
    for row in pq.read_table(web.captions).to_pylist():
        if row["right"]:
            langs.setdefault(row["url"], set()).add(row["lang"])
    assert sum({"en", "ko"} <= found for found in langs.values()) > PICTURES / 20


def test_entries_are_unique_within_a_language() -> None:
    rows = table().to_pylist()
    assert len({(row["lang"], row["entry"]) for row in rows}) == len(rows)
    assert {row["lang"] for row in rows} == {"en", "ko"}
    assert all(row["entry"] == row["entry"].strip() != "" for row in rows)
    assert {row["source"] for row in rows} == {"number", "wordnet", "unigram", "bigram", "title"}


def test_classes_load_as_the_trainer_reads_them(web: DemoWeb) -> None:
    objects, colours = (load_classes(path) for path in web.class_sets)
    assert len(objects.classes) == 16
    assert len(colours.classes) == 10
    assert set(objects.truth) == set(colours.truth)
    assert web.classes in web.class_sets
    assert set(web.resolve("127.0.0.1:1")) == {f"{host}:80" for host in HOSTS}
