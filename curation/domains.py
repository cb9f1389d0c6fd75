"""The domain of a picture's address, for caps and for the report: the host, without port and without a leading "www.".

A host and not the registered domain: which of `a.tistory.com` and `a.example.com` is a site of its own, only the Public Suffix
List says, and it changes by the week. `host_of` is the oracle of `hosts_of` and of `curation.spark.columns.host`.
"""

from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

# Both are read by RE2 and by Java alike. After the user's name and before the port; a bracket holds an IPv6 address.
HOST = r"://(?:[^/?#]*@)?(\[[^\]/?#]*\]|[^/?#:\[]*)"
WWW = r"^www\.([^.]+\..+)$"  # `www.kr` is a name of its own: what is left must hold a dot


def host_of(url: str) -> str:
    """Return the host of an absolute address, "" where it has none. url: canonical, see `curation.ids.canonical_url`."""
    netloc = urlsplit(url).netloc.rpartition("@")[2]
    host = netloc[: netloc.index("]") + 1] if netloc.startswith("[") else netloc.partition(":")[0]
    bare = host.removeprefix("www.")
    first, _, rest = bare.partition(".")
    return bare if first and rest else host


def hosts_of(urls: pa.Array) -> pa.Array:
    """Return the host of each address, string (N,)."""
    found = pc.extract_regex(urls, HOST.replace("(\\[", "(?P<host>\\[", 1)).field("host")
    return pc.replace_substring_regex(pc.coalesce(found, pa.scalar("")), WWW, r"\1")
