"""The removal list: what is listed is found however it is written, nothing else is, and a list at fault is refused by line."""

import gzip
import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import InputError
from curation.removal_files import load_removals
from curation.removals import Removals, domains_of, split_address

PICTURE = hashlib.sha256(b"a picture").hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


def listed(path: Path, *lines: str) -> Removals:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_removals([str(path)])


SAME = [
    ("http://example.org/a.jpg", "https://example.org/a.jpg"),
    ("http://EXAMPLE.org/a.jpg", "http://example.org:80/a.jpg#top"),
    ("https://user:word@example.org./a.jpg", "https://example.org:443/a.jpg"),
    ("http://example.org/%7Ea/%ed%95%9c.jpg", "http://example.org/~a/한.jpg"),
    ("http://한국.kr/사진.jpg", "http://xn--3e0b707e.kr/%EC%82%AC%EC%A7%84.jpg"),
    ("http://example.org/b/./c/../a.jpg", "http://example.org/b/a.jpg"),
    ("http://example.org", "http://example.org/"),
    ("http://example.org/a b.jpg", "http://example.org/a%20b.jpg"),
    ("http://[2001:DB8::1]/a.jpg", "http://[2001:db8::1]/a.jpg"),
]
DIFFERENT = [
    ("http://example.org/a.jpg", "http://example.org/A.jpg"),
    ("http://example.org/a.jpg?x=1", "http://example.org/a.jpg?x=2"),
    ("http://example.org/a.jpg", "http://example.org/a.jpg?x"),
    ("http://example.org/a%2Fb", "http://example.org/a/b"),
    ("http://example.org/a.jpg", "http://example.org:8080/a.jpg"),
    ("http://example.org/a.jpg", "http://www.example.org/a.jpg"),
    ("http://example.org//a.jpg", "http://example.org/a.jpg"),
]


@pytest.mark.parametrize(("written", "met"), SAME)
def test_an_address_is_found_however_it_is_written(tmp_path: Path, written: str, met: str) -> None:
    assert split_address(written)[1] == split_address(met)[1]
    assert listed(tmp_path / "r.txt", written).rule_of_url(met) == "url"
    assert listed(tmp_path / "r.txt", met).rule_of_url(written) == "url"


@pytest.mark.parametrize(("written", "met"), DIFFERENT)
def test_another_resource_is_not_taken_for_it(tmp_path: Path, written: str, met: str) -> None:
    assert listed(tmp_path / "r.txt", written).rule_of_url(met) is None


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abAB01./%-_~?=&한 ", max_size=24))
def test_a_key_is_a_key_of_itself_and_the_short_way_gives_the_long_ways(path: str) -> None:
    address = f"http://example.org/{path}".strip()
    host, key = split_address(address)
    assert host == "example.org"
    assert split_address(f"https://{key}")[1] == key
    assert split_address(f" {address}#x")[1] == key  # never the short way


@pytest.mark.parametrize(
    "host", ["foo-.tumblr.com", "-foo.tumblr.com", "FOO-.tumblr.com", "a._b-.org", "--.org", "-"]
)
def test_a_host_of_hyphens_is_a_host_whichever_way_it_is_read(tmp_path: Path, host: str) -> None:
    """Sites give their users such hosts, and they answer: what is listed must cover them, however an address is spelled."""
    endings = ("/a.png", "/a%20b.png", "/a.png?x=%20", "/b/../a.png", ":80/a.png", "./a.png", "/a.png#x")
    removals = listed(tmp_path / "r.txt", *(f"http://{host}{ending}" for ending in endings))
    for ending in endings:
        assert removals.rule_of_url(f"https://{host.lower()}{ending.replace(':80', '')}") == "url", ending
    domain = listed(tmp_path / "d.txt", "tumblr.com")
    assert {domain.rule_of_url(f"http://{host}{ending}") for ending in endings} == {
        "domain" if host.endswith("tumblr.com") else None
    }


@settings(max_examples=300, deadline=None)
@given(st.from_regex(r"[aB0_-]{1,70}(\.[aB0_-]{1,70}){0,4}", fullmatch=True))
def test_the_short_and_the_long_way_agree_on_every_host(host: str) -> None:
    assert split_address(f"http://{host}/a.png") == split_address(f" http://{host}/b/../a.png#x")
    assert split_address(f"http://{host}/a.png")[0] == host.lower()


def test_a_domain_covers_its_subdomains_and_no_neighbour(tmp_path: Path) -> None:
    removals = listed(tmp_path / "r.txt", "Example.ORG", "*.star.kr", "domain:dot.net", ".lead.io")
    for host in (
        "example.org",
        "a.b.example.org",
        "EXAMPLE.org.",
        "x.star.kr",
        "star.kr",
        "i.dot.net",
        "lead.io",
    ):
        assert removals.rule_of_url(f"https://{host}/a.jpg") == "domain", host
    for host in ("badexample.org", "example.org.evil.net", "org", "kr", "example.com"):
        assert removals.rule_of_url(f"https://{host}/example.org/star.kr") is None, host
    assert domains_of("a.b.co.kr") == ["a.b.co.kr", "b.co.kr", "co.kr"]


def test_comments_blank_lines_and_every_line_ending_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    path.write_bytes(
        ("\ufeff# asked by mail\r\n\r\n  http://a.org/x.jpg  # 2026-01-03\r\n\t" + PICTURE.upper() + "\nsha256:" + OTHER).encode()
    )  # fmt: skip
    removals = load_removals([str(path)])
    assert removals.summary() == {"sha256": removals.sha256, "urls": 1, "domains": 0, "images": 2}
    assert removals.rule_of_url("http://a.org/x.jpg") == "url"
    assert removals.has_image(PICTURE)
    assert removals.has_image(OTHER)
    assert not removals.has_image(hashlib.sha256(b"third").hexdigest())


@pytest.mark.parametrize(
    "line",
    [
        "com", "domain:kr", "*.org", "example.org/a.jpg", "ftp://example.org/a.jpg", "http://", "http:///a.jpg", "two words.org",
        PICTURE[:-1], PICTURE + "0", "a\x00b.org", "http://exa mple.org/", "x" * 9_000 + ".org", "http://a.org:99999/", "javascript:alert(1)",
        "-a-.org", "a..org", "l" * 64 + ".org", "<script>.org", "../../etc/passwd", "%s%n.org/",
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_understood_is_an_error_that_names_it(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"1 lines that are no address.*line 2: ") as error:
        listed(tmp_path / "r.txt", "http://a.org/x.jpg", line, "b.org")
    assert len(str(error.value)) < 600


def test_files_that_are_no_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot open the input"):
        load_removals([str(tmp_path / "none.txt")])
    (tmp_path / "latin.txt").write_bytes("http://a.org/\xe9".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.txt are not UTF-8"):
        load_removals([str(tmp_path / "latin.txt")])
    (tmp_path / "no.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(InputError, match=r"no\.parquet"):
        load_removals([str(tmp_path / "no.parquet")])
    (tmp_path / "other.csv").write_text("name,when\na,b\n")
    with pytest.raises(InputError, match="name one url or domain or image_id"):
        load_removals([str(tmp_path / "other.csv")])
    (tmp_path / "bad.csv").write_text("when,url\n1,http://a.org/\n2,nonsense\n")
    with pytest.raises(InputError, match="row 3: 'nonsense' is no http"):
        load_removals([str(tmp_path / "bad.csv")])
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"http://a.org/x.jpg\n" * 99)[:-9])
    with pytest.raises(InputError, match=r"cut\.txt\.gz"):
        load_removals([str(tmp_path / "cut.txt.gz")])


def test_text_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    urls, domain = ["http://a.org/1", "http://한국.kr/2"], "c.org"
    text = listed(tmp_path / "r.txt", *urls, domain, PICTURE)
    (tmp_path / "r.csv").write_text(
        f'when,url,domain,image_id\n1,"{urls[0]}",,\n2,{urls[1]},{domain},{PICTURE}\n', encoding="utf-8"
    )
    columns = {"image_id": [None, PICTURE], "url": urls, "domain": [domain, None], "who": ["x", "y"]}
    pq.write_table(pa.table(columns), tmp_path / "r.parquet")
    (tmp_path / "r2.txt.gz").write_bytes(
        gzip.compress("\n".join([PICTURE, domain, *urls[::-1], *urls]).encode())
    )
    for name in ("r.csv", "r.parquet", "r2.txt.gz"):
        assert load_removals([str(tmp_path / name)]).sha256 == text.sha256, name
    assert load_removals([str(tmp_path / "r.*"), str(tmp_path / "r2.txt.gz")]).sha256 == text.sha256
    assert listed(tmp_path / "less.txt", *urls, domain).sha256 != text.sha256
    assert not load_removals([])
    assert load_removals([]).external() == []


def test_a_big_list_takes_eight_bytes_an_item(tmp_path: Path) -> None:
    number, path = 400_000, tmp_path / "big.txt"
    with path.open("w") as file:
        file.writelines(
            f"http://h{i % 977}.example.org/pictures/{i:09d}/a-long-name-of-a-picture.jpg\n"
            for i in range(number)
        )
    tracemalloc.start()
    removals = load_removals([str(path)])
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert removals.urls.size == number
    assert held < 12 * number
    assert peak < 8 * number * 3 + (40 << 20)  # sorting, and one chunk of lines
    assert (
        removals.rule_of_url("https://h1.example.org/pictures/000000001/a-long-name-of-a-picture.jpg")
        == "url"
    )
    assert (
        removals.rule_of_url("https://h1.example.org/pictures/000000002/a-long-name-of-a-picture.jpg") is None
    )


def rows_of(*rows: tuple[str, str, str]) -> pa.Table:
    return pa.table(
        dict(zip(("url", "image_id", "source_image_id"), map(list, zip(*rows, strict=True)), strict=True))
    )


def test_a_picture_stays_while_one_of_its_own_addresses_is_left(tmp_path: Path) -> None:
    a, b, c = (hashlib.sha256(name).hexdigest() for name in (b"a", b"b", b"c"))
    rows = rows_of(
        ("http://one.org/a", a, a), ("http://two.org/a", a, a), ("http://three.org/b", a, b),  # b joined a
        ("http://four.org/c", c, c),
    )  # fmt: skip

    def rules(*lines: str) -> list[str | None]:
        found: list[str | None] = listed(tmp_path / "r.txt", *lines).rules_of_table(rows).to_pylist()
        return found

    assert rules("none.org") == [None] * 4
    assert rules("http://one.org/a") == ["url", None, None, None]
    assert rules("one.org", "http://two.org/a") == [
        "domain",
        "url",
        "picture",
        None,
    ]  # nobody may take a any more
    assert rules(a) == ["image", "image", "image", None]
    assert rules(b) == [None, None, "image", None]  # b is not in the shards; its caption goes
    assert rules("four.org") == [None, None, None, "domain"]


def test_an_empty_list_is_false_and_removes_nothing() -> None:
    none = np.empty(0, np.uint64)
    removals = Removals(none, none, none)
    assert not removals
    assert removals.rules_of(["http://a.org/"], [PICTURE], [PICTURE]) == [None]
    assert removals.rule_of_url("not an address at all") is None
