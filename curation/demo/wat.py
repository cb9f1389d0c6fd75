"""The demo's pages in Common Crawl's WAT form, with the broken records that a crawl has.

A gzip member a record: WARC headers, then a JSON envelope. Dates and record ids are fixed, so equal pages give equal bytes.
"""

import hashlib
import json
import uuid
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from curation.demo.files import HOSTS
from curation.demo.pages import Page

DATE = "2026-01-01T00:00:00Z"
NAME = "DEMO-20260101000000-20260101010000-{:05d}.{}.gz"
GZIP = 31  # zlib's name for a gzip header and trailer; it writes no time
REPEATS = 3  # of each kind of broken record and of each broken link
TEXT = {"alt": "red star"}

# links that are broken each in one way, on pages that are whole otherwise
BROKEN_LINKS: dict[str, Any] = {
    "null_link": None,
    "no_url": {"path": "IMG@/src", "alt": "red star"},
    "null_url": {"path": "IMG@/src", "url": None, "alt": "red star"},
    "null_path": {"path": None, "url": "x.jpg", "alt": "red star"},
    "bad_url": {"path": "IMG@/src", "url": "http://[2001:bad/x.jpg", "alt": "red star"},
    "data_url": {"path": "IMG@/src", "url": "data:image/gif;base64,R0lGODlhAQABAAAAACw=", "alt": "red star"},
    "javascript_url": {"path": "IMG@/src", "url": "javascript:void(0)", "alt": "red star"},
    "ftp_url": {"path": "IMG@/src", "url": "ftp://gallery.demo.bicurate.test/x.jpg", "alt": "red star"},
    "nul_text": {"path": "IMG@/src", "url": "/images/nul.jpg", "alt": "red\0star"},
}


def record(url: str, payload: bytes, kind: str = "metadata", content_type: str = "application/json") -> bytes:
    """Return one WARC record as a gzip member."""
    name = uuid.UUID(bytes=hashlib.sha256(f"{kind} {url}".encode() + payload).digest()[:16])
    target = f"WARC-Target-URI: {url}" if kind == "metadata" else f"WARC-Filename: {url}"
    headers = f"WARC/1.0\r\nWARC-Type: {kind}\r\n{target}\r\nWARC-Date: {DATE}\r\nWARC-Record-ID: <urn:uuid:{name}>\r\n"
    sizes = f"Content-Type: {content_type}\r\nContent-Length: {len(payload)}\r\n\r\n"
    return zlib.compress(headers.encode() + sizes.encode() + payload + b"\r\n\r\n", 6, wbits=GZIP)


def envelope(
    url: str, html_metadata: Mapping[str, Any] | None, *, content_type: str = "text/html; charset=utf-8"
) -> bytes:
    """Return the JSON of a response: the links lie under Envelope, Payload-Metadata, HTTP-Response-Metadata, HTML-Metadata."""
    response: dict[str, Any] = {
        "Response-Message": {"Status": "200", "Version": "HTTP/1.1", "Reason": "OK"},
        "Headers": {"Content-Type": content_type},
    }
    if html_metadata is not None:
        response["HTML-Metadata"] = html_metadata
    return _wrapped(url, "response", {"HTTP-Response-Metadata": response})


def _wrapped(url: str, kind: str, metadata: dict[str, Any]) -> bytes:
    value = {
        "Container": {"Filename": NAME.format(0, "warc"), "Compressed": True, "Offset": "0"},
        "Envelope": {
            "Format": "WARC/1.0",
            "WARC-Header-Metadata": {"WARC-Type": kind, "WARC-Target-URI": url, "WARC-Date": DATE},
            "Payload-Metadata": {"Actual-Content-Type": f"application/http; msgtype={kind}"} | metadata,
        },
    }
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _html_metadata(page: Page) -> dict[str, Any]:
    links: list[Any] = [{"path": "A@/href", "url": "/", "text": page.title}]
    links += [
        {"path": "IMG@/src", "url": link.written} | {name: text.text for name, text in link.texts}
        for link in page.links
    ]
    return {
        "Head": {"Title": page.title, "Link": [{"path": "LINK@/href", "url": "/style.css"}]},
        "Links": links,
    }


def page_record(page: Page) -> bytes:
    """Return the record of a whole page."""
    return record(page.url, envelope(page.url, _html_metadata(page)))


def broken_records() -> list[tuple[str, bytes]]:
    """Return (kind, record) of what a crawl has besides whole pages, REPEATS of each kind."""
    made = []
    for number in range(REPEATS):
        url = f"http://{HOSTS[number % len(HOSTS)]}/broken/{number}.html"
        whole = envelope(
            url, {"Head": {"Title": ""}, "Links": [{"path": "IMG@/src", "url": "/x.jpg"} | TEXT]}
        )
        bad_url = f"http://[broken/{number}.html"
        head = {"Head": {"Title": ""}}
        made += [
            ("empty_record", record(url, b"")),
            ("bad_json", record(url, whole[: len(whole) * 2 // 3])),
            ("undecodable_bytes", record(url, whole.replace(b"red", b"r\xe9\xff"))),
            ("bad_page_url", record(bad_url, whole.replace(url.encode(), bad_url.encode()))),
            ("null_links", record(url, envelope(url, head | {"Links": None}))),
            ("no_links", record(url, envelope(url, head))),
            ("lone_surrogate", record(url, whole.replace(b"red star", b"red \\ud83d star"))),
            ("not_html", record(url, envelope(url, None, content_type="application/pdf"))),
            ("request", record(url, _wrapped(url, "request", {"HTTP-Request-Metadata": {"Headers": {}}}))),
            *[(name, _link_record(url, name, link)) for name, link in BROKEN_LINKS.items()],
        ]
    return made


def _link_record(url: str, name: str, link: Any) -> bytes:
    page_url = url.replace(".html", f"-{name}.html")
    return record(page_url, envelope(page_url, {"Head": {"Title": ""}, "Links": [link]}))


def wat_files(pages: Sequence[Page], count: int) -> dict[str, bytes]:
    """Return the WAT files by name: pages and broken records dealt out in turn; the last file ends inside a record."""
    parts: list[list[bytes]] = [
        [
            record(
                NAME.format(number, "warc.wat"),
                b"format: WARC File Format 1.0\r\n",
                "warcinfo",
                "application/warc-fields",
            )
        ]
        for number in range(count)
    ]
    for number, page in enumerate(pages):
        parts[number % count].append(page_record(page))
    for number, (_, broken) in enumerate(broken_records()):
        part = parts[number % count]
        part.insert(1 + (number * 7) % len(part), broken)
    last = "http://gallery.demo.bicurate.test/broken/last.html"
    whole = record(last, envelope(last, {"Links": [{"path": "IMG@/src", "url": "/x.jpg"} | TEXT]}))
    parts[-1].append(whole[: len(whole) // 2])
    return {NAME.format(number, "warc.wat"): b"".join(part) for number, part in enumerate(parts)}
