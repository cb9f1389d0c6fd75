"""The demo's server: hosts by name, faults as the web has them, one connection for many requests."""

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest

from curation.demo.server import serve
from curation.demo.web import DemoWeb, build
from curation.errors import InputError


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> DemoWeb:
    return build(tmp_path_factory.mktemp("served") / "web", seed=5, pictures=120)


@pytest.fixture(scope="module")
def address(web: DemoWeb) -> Iterator[str]:
    with serve(web.folder) as address:
        yield address


@pytest.fixture(scope="module")
def rows(web: DemoWeb) -> list[dict[str, str]]:
    return pq.read_table(web.pictures).to_pylist()


def get(
    connection: http.client.HTTPConnection, url: str, method: str = "GET"
) -> tuple[int, bytes, dict[str, str]]:
    parts = urlsplit(url)
    connection.request(method, parts.path, headers={"Host": parts.netloc})
    answer = connection.getresponse()
    return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}


def one(address: str, url: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        return get(connection, url, method)
    finally:
        connection.close()


def url_of(rows: list[dict[str, str]], fault: str | None) -> str:
    return next(row["url"] for row in rows if row["fault"] == fault and not row["copy_of"])


def test_every_good_picture_is_served_under_its_host_on_one_connection(
    address: str, rows: list[dict[str, str]]
) -> None:
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.connect()
    socket = connection.sock
    for row in rows:
        if row["fault"] is None and "/moved/" not in row["url"]:
            status, body, headers = get(connection, row["url"])
            assert status == 200
            assert body[:2] in {b"\xff\xd8", b"\x89P"}
            assert headers["content-type"].startswith("image/")
            assert "x-robots-tag" not in headers
    assert connection.sock is socket
    connection.close()


def test_a_host_may_stand_at_the_head_of_the_path(address: str, rows: list[dict[str, str]]) -> None:
    url = url_of(rows, None)
    by_path = f"http://{address}/{url.removeprefix('http://')}"
    assert one(address, by_path)[:2] == one(address, url)[:2]


def test_one_path_on_another_host_is_another_file(address: str, rows: list[dict[str, str]]) -> None:
    url = url_of(rows, None)
    other = url.replace(urlsplit(url).netloc, "copies.demo.bicurate.test")
    assert one(address, other)[0] == 404


def test_missing_is_404_and_opted_out_says_so(address: str, rows: list[dict[str, str]]) -> None:
    assert one(address, url_of(rows, "missing"))[0] == 404
    status, _, headers = one(address, url_of(rows, "opted_out"))
    assert (status, headers["x-robots-tag"]) == (200, "noai, noimageai")


def test_faults_are_as_the_truth_says(address: str, rows: list[dict[str, str]]) -> None:
    assert b"<!doctype html>" in one(address, url_of(rows, "html"))[1]
    assert one(address, url_of(rows, "empty"))[1] == b""
    assert one(address, url_of(rows, "half"))[1].startswith(b"\xff\xd8")
    with pytest.raises(http.client.IncompleteRead):
        one(address, url_of(rows, "cut"))
    status, _, headers = one(address, url_of(rows, "private"))
    assert (status, headers["location"][:22]) == (302, "http://169.254.169.254")
    loop = url_of(rows, "loop")
    assert one(address, loop)[2]["location"] == loop
    huge = one(address, url_of(rows, "huge"))[1]
    assert (int.from_bytes(huge[16:20]), int.from_bytes(huge[20:24])) == (30_000, 30_000)


def test_a_redirect_leads_to_the_picture_it_copies(address: str, rows: list[dict[str, str]]) -> None:
    moved = next(row for row in rows if "/moved/" in row["url"])
    assert one(address, moved["url"])[2]["location"] == moved["copy_of"]


def test_head_has_the_length_and_no_body(address: str, rows: list[dict[str, str]]) -> None:
    url = url_of(rows, None)
    status, body, headers = one(address, url, "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) == len(one(address, url)[1])


def test_many_threads_get_the_same_answers(address: str, rows: list[dict[str, str]]) -> None:
    urls = [row["url"] for row in rows if row["fault"] is None][:60]
    alone = [one(address, url)[:2] for url in urls]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda url: one(address, url)[:2], urls)) == alone


def test_the_port_is_free_again_and_a_folder_without_a_web_is_refused(web: DemoWeb, tmp_path: Path) -> None:
    with serve(web.folder) as address:
        assert address.startswith("127.0.0.1:")
    with pytest.raises(OSError):
        one(address, "http://gallery.demo.bicurate.test/")
    with pytest.raises(InputError, match="build the demo's web first"), serve(tmp_path):
        pass
