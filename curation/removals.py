"""The removal list: addresses, domains and pictures that must not be fetched, sealed, selected or trained on. `[run] removals`.

A list is a text file, an item a line (an address, a domain, the SHA-256 of a picture's bytes in hex, `#` and what follows it a
comment), or CSV or Parquet with a column `url`, `domain` or `image_id` (others are ignored). Nothing of a list is kept but 64 bits
of each item's hash, 8 bytes an item; of 10^8 items a row that is in none is taken for one of them with a chance of 5e-12.

An address is compared without scheme, user, default port and fragment, its host in lower case and ASCII, its path by RFC 3986. A
domain covers its subdomains. A hash names bytes: another encoding of the same picture is another hash.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from curation.ids import SPARK_XXHASH64_SEED

Hashes = npt.NDArray[np.uint64]
RULES = ("url", "domain", "image", "picture")
"""Why a row is removed: its address is listed; its host lies under a listed domain; its own or its shown picture is listed; its picture
has no address left, all of them being listed."""
MAX_HOST, MAX_LABEL = 253, 63  # characters, RFC 1035
_HEX = re.compile(r"[0-9a-f]{64}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
# Of an address, more: names of users that begin or end with "-" are hosts of large sites, and a resolver finds them.
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
# An address that is its own key once its scheme is cut off; anything else goes the long way round.
_PLAIN = re.compile(
    r"https?://([a-z0-9-]+(?:\.[a-z0-9-]+)+)(/(?!\.)(?:[A-Za-z0-9_~-]|[./](?![./]))*(?:\?[A-Za-z0-9_~.&=-]+)?)"
)
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE = "%!$&'()*+,/:;=?@[]~"
_PORTS = {"http": 80, "https": 443}


def host_of(host: str) -> str:
    """Return the host of an address in lower case and ASCII, without its final dot. Raises ValueError for what is no host.

    A label may begin and end with "-": no rule of names says so, but such hosts answer.
    """
    host = host.strip().lower().removesuffix(".")
    if not host.isascii():
        host = host.encode("idna").decode().removesuffix(".")  # UnicodeError is a ValueError
    if ":" not in host and not _HOST.fullmatch(host):  # IPv6 comes with colons, as urlsplit gives it
        raise ValueError(f"{host[:80]!r} is no host")
    return host


def domain_of(text: str) -> str:
    """Return a domain as it is listed, held to the rules of names, so that a slip of the pen is an error. Raises ValueError."""
    host = host_of(text)
    fit = len(host) <= MAX_HOST and all(
        _LABEL.fullmatch(label) and len(label) <= MAX_LABEL for label in host.split(".")
    )
    if not fit:
        raise ValueError(f"{host[:80]!r} is no domain")
    return host


def split_address(url: str) -> tuple[str, str]:
    """Return host and key of an address; addresses of one resource have one key. Raises ValueError for what is no http address."""
    plain = _PLAIN.fullmatch(url)
    if plain:
        return plain[1], plain[1] + plain[2]
    parts = urlsplit(url.strip())
    if parts.scheme.lower() not in _PORTS:
        raise ValueError(f"{url[:80]!r} is no http or https address")
    host, port = host_of(parts.hostname or ""), parts.port
    path = _escaped(parts.path) or "/"
    if "/." in path:
        path = _without_dots(path)
    query = f"?{_escaped(parts.query)}" if parts.query else ""
    place = host if port in {None, _PORTS[parts.scheme.lower()]} else f"{host}:{port}"
    return host, place + path + query


def _escaped(text: str) -> str:
    """Return a path or query with one spelling: escapes in capitals, none for what needs none, all else in UTF-8."""

    def spelled(found: re.Match[str]) -> str:
        plain = chr(int(found[0][1:], 16))
        return plain if plain in _UNRESERVED else found[0].upper()

    return quote(_ESCAPE.sub(spelled, text), safe=_SAFE, errors="replace")


def _without_dots(path: str) -> str:
    """Return a path without the segments "." and "..", by RFC 3986, section 5.2.4."""
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    ending = "/" if path.endswith(("/.", "/..")) else ""
    return "/" + "/".join(kept) + (ending if kept else "")


def hash_of(key: str) -> int:
    """Return 64 bits of a key."""
    return int(xxhash.xxh64_intdigest(key.encode("utf-8", "replace"), seed=SPARK_XXHASH64_SEED))


def image_hash(image_id: str) -> int:
    """Return the first 64 bits of a picture's SHA-256."""
    return int(image_id[:16], 16)


def domains_of(host: str) -> list[str]:
    """Return a host and all domains it lies under, the longest first; of one label only where the host is one."""
    labels = host.split(".")
    return [host] if len(labels) == 1 else [".".join(labels[i:]) for i in range(len(labels) - 1)]


def item_of(text: str) -> tuple[str, int] | None:
    """Return kind and hash of a line; None where nothing is on it. Raises ValueError that says what is wrong."""
    text = re.sub(r"(?:^|\s)#.*", "", text.strip()).strip()
    if not text:
        return None
    if "://" in text:
        return url_item(text)
    bare = text.lower().removeprefix("sha256:")
    if _HEX.fullmatch(bare):
        return "image", image_hash(bare)
    return domain_item(text)


def url_item(text: str) -> tuple[str, int]:
    """Return the item of an address. Raises ValueError."""
    return "url", hash_of(split_address(text)[1])


def image_item(text: str) -> tuple[str, int]:
    """Return the item of a picture's hash. Raises ValueError."""
    bare = text.strip().lower().removeprefix("sha256:")
    if not _HEX.fullmatch(bare):
        raise ValueError(f"{text[:80]!r} is no SHA-256 of 64 hex digits")
    return "image", image_hash(bare)


def domain_item(text: str) -> tuple[str, int]:
    """Return the item of a domain, which may be written as `*.example.org`. Raises ValueError, for a whole top-level domain too."""
    given = text.strip()
    host = domain_of(given.removeprefix("domain:").removeprefix("*.").removeprefix("."))
    if "." not in host:
        raise ValueError(
            f"{given[:80]!r} would remove a whole top-level domain, or is no address, domain or SHA-256"
        )
    return "domain", hash_of(host)


ITEMS: dict[str, Callable[[str], tuple[str, int]]] = {
    "url": url_item, "domain": domain_item, "image_id": image_item, "sha256": image_item,
}  # fmt: skip
"""What a column of a table holds, by its name."""


@dataclass(frozen=True, eq=False)
class Removals:
    """A list, ready to be asked: sorted hashes of each kind. False where it is empty."""

    urls: Hashes
    domains: Hashes
    images: Hashes

    def __bool__(self) -> bool:
        return bool(self.urls.size or self.domains.size or self.images.size)

    @property
    def sha256(self) -> str:
        """Hash of what is listed, however it is written: order, comments and spelling do not matter."""
        state = hashlib.sha256()
        for name, hashes in self.items():
            state.update(f"{name}:{hashes.size}\n".encode())
            state.update(hashes.astype("<u8").tobytes())
        return state.hexdigest()

    def items(self) -> list[tuple[str, Hashes]]:
        """Return the kinds with their hashes."""
        return [("url", self.urls), ("domain", self.domains), ("image", self.images)]

    def external(self) -> list[dict[str, Any]]:
        """Return what a stage's identity keeps of the list: nothing where it is empty."""
        return [{"path": "run.removals", "sha256": self.sha256}] if self else []

    def summary(self) -> dict[str, Any]:
        """Return what a stage notes of the list."""
        return {"sha256": self.sha256} | {f"{name}s": int(hashes.size) for name, hashes in self.items()}

    def rule_of_url(self, url: str) -> str | None:
        """Return "url" or "domain" where an address is removed. What cannot be taken apart is not."""
        if not (self.urls.size or self.domains.size):
            return None
        try:
            host, key = split_address(url)
        except ValueError:
            return None
        if has(self.urls, hash_of(key)):
            return "url"
        return (
            "domain"
            if self.domains.size and any(has(self.domains, h) for h in _domain_hashes(host))
            else None
        )

    def has_image(self, image_id: str) -> bool:
        """Say whether a picture's bytes are listed."""
        return bool(self.images.size) and has(self.images, image_hash(image_id))

    def rules_of(
        self, urls: Iterable[str], image_ids: Iterable[str], source_image_ids: Iterable[str]
    ) -> list[str | None]:
        """Return each row's rule, by what stands in the row alone; `with_orphans` adds "picture"."""
        return [
            "image" if self.has_image(image) or self.has_image(source) else self.rule_of_url(url)
            for url, image, source in zip(urls, image_ids, source_image_ids, strict=True)
        ]

    def rules_of_table(self, rows: pa.Table) -> pa.Array:
        """Return the rule of each row of a manifest, null where it stays; all rows of the manifest must be there.

        rows: url, image_id, source_image_id. A picture goes with all its captions once none of the rows that came with the
        picture itself is left: nobody may take it from anywhere any more.
        """
        columns = [rows[name].to_pylist() for name in ("url", "image_id", "source_image_id")]
        rules = pa.array(self.rules_of(*columns), pa.string())
        own = pc.and_(pc.is_null(rules), pc.equal(rows["image_id"], rows["source_image_id"]).combine_chunks())
        alive = pc.unique(rows["image_id"].filter(own))
        orphan = pc.and_(
            pc.is_null(rules), pc.invert(pc.is_in(rows["image_id"], value_set=alive).combine_chunks())
        )
        return pc.if_else(orphan, pa.scalar("picture"), rules)


NO_REMOVALS = Removals(*(np.empty(0, np.uint64) for _ in range(3)))


def has(hashes: Hashes, item: int) -> bool:
    """Say whether a sorted array holds a hash."""
    place = int(hashes.searchsorted(np.uint64(item)))
    return place < hashes.size and int(hashes[place]) == item


@lru_cache(maxsize=65_536)
def _domain_hashes(host: str) -> tuple[int, ...]:
    return tuple(hash_of(domain) for domain in domains_of(host))


def removals_of(items: Iterator[tuple[str, Sequence[int]]]) -> Removals:
    """Return the list of what an iterator of (kind, hashes) gives, in memory of 8 bytes an item and twice that while sorting."""
    parts: dict[str, list[Hashes]] = {"url": [], "domain": [], "image": []}
    for kind, hashes in items:
        parts[kind].append(np.array(hashes, dtype=np.uint64))
    return Removals(*(_merged(parts.pop(kind)) for kind in ("url", "domain", "image")))


def _merged(parts: list[Hashes]) -> Hashes:
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)
