"""WAT files as Common Crawl lays them out, made for tests: a gzip member a record."""

import gzip
import io
import json
from typing import Any

import pyarrow as pa

from curation.extract import extract_wat
from curation.stage import Tally
from curation.wat import Source

PAGE = "http://site.example/a/b/page.html"


def member(body: bytes, *, uri: str = PAGE, kind: str = "metadata", length: int | None = None) -> bytes:
    headers = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {uri}\r\nWARC-Date: 2026-11-01T00:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000000>\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return gzip.compress(headers.encode() + body + b"\r\n\r\n", mtime=0)


def page_json(links: Any, *, uri: Any = PAGE, head: Any = None) -> bytes:
    html = {"Head": head if head is not None else {"Title": "t"}, "Links": links}
    payload = {"HTTP-Response-Metadata": {"HTML-Metadata": html}}
    envelope = {"WARC-Header-Metadata": {"WARC-Target-URI": uri}, "Payload-Metadata": payload}
    return json.dumps({"Container": {}, "Envelope": envelope}).encode()


def page(links: Any, *, uri: Any = PAGE, head: Any = None) -> bytes:
    return member(page_json(links, uri=uri, head=head))


def image(url: Any, **texts: Any) -> dict[str, Any]:
    return {"path": "IMG@/src", "url": url, **{name.replace("_", "-"): text for name, text in texts.items()}}


def read(
    data: bytes, *, origin: str = "x.wat.gz", keep_dropped: bool = False
) -> tuple[list[dict[str, Any]], Tally]:
    """Return the rows of a WAT file, drops included where they are kept, and its tally, whose sums are closed."""
    tally = Tally()
    batches = list(
        extract_wat(Source(io.BytesIO(data)), tally, origin=origin, crawl="c", keep_dropped=keep_dropped)
    )
    assert all(isinstance(batch, pa.RecordBatch) for batch in batches)
    for ledger in tally.ledgers.values():
        ledger.close()
    return [row for batch in batches for row in batch.to_pylist()], tally


def sums(tally: Tally) -> dict[str, tuple[int, int, dict[str, int]]]:
    """Return (in, out, dropped by reason) a unit."""
    return {
        ledger.unit: (ledger.rows_in, ledger.rows_out, ledger.as_json()["dropped"])
        for ledger in tally.ledgers.values()
    }
