"""The files that `extract` reads: globs expanded, each checked before any work, named relative to the input's root.

Addresses are what fsspec opens: local paths, s3, https; `hdfs://` goes through `pyarrow.fs` by fsspec's own adaptor.
"""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import fsspec

from curation.config import ExtractSection
from curation.errors import ConfigError, InputError
from curation.wat import Source


class InputFile(NamedTuple):
    """One file of input."""

    address: str
    """What fsspec opens, protocol included."""
    origin: str
    """Its name relative to the input's root, with "/" between folders."""
    is_pool: bool
    """Parquet; else WAT."""
    size: int | None
    """Bytes, where the file system knows."""
    stamp: str
    """An etag, or the time of the last change; empty where neither is known."""

    def external(self) -> dict[str, Any]:
        """Return what a stage's record keeps of the file."""
        return {"path": self.origin, "size": self.size, "stamp": self.stamp}


def find_inputs(section: ExtractSection) -> list[InputFile]:
    """Return the files that the configuration names, sorted, each once.

    Raises ConfigError where none is named, InputError that names the input where one is missing or cannot be opened.
    """
    if not section.inputs:
        raise ConfigError('extract.inputs is empty: name files or globs, such as "wat/*.warc.wat.gz"')
    return [
        file._replace(is_pool=section.format == "pool" or (section.format == "auto" and file.is_pool))
        for file in find_files(section.inputs, section.root)
    ]


def find_files(patterns: Sequence[str], root: str | None = None) -> list[InputFile]:
    """Return the files of patterns, sorted, each once, named from `root` or from their longest common folder.

    Raises InputError that names the pattern where a file is missing or cannot be opened, or where one lies outside the root.
    """
    infos: dict[str, Mapping[str, Any]] = {}
    for pattern in patterns:
        infos |= _expand(pattern)
    addresses = sorted(infos)
    cut = _root(root, addresses)
    return [
        InputFile(
            address,
            address.removeprefix(cut),
            address.endswith(".parquet"),
            infos[address].get("size"),
            _stamp(infos[address]),
        )
        for address in addresses
    ]


@contextmanager
def open_input(address: str) -> Iterator[Source]:
    """Open a file as a `Source`. Raises InputError that names it."""
    try:
        stream = fsspec.open(address, "rb").open()
    except (OSError, ValueError, ImportError) as error:
        raise InputError(_unopened(address, error)) from error
    with stream:
        yield Source(stream)


def _unopened(address: str, error: BaseException) -> str:
    return f"cannot open the input {address}: {error or type(error).__name__}; give a file or a glob that fsspec can open"


def _expand(pattern: str) -> dict[str, Mapping[str, Any]]:
    """Return fsspec's information on each file of a pattern, by address."""
    try:
        files, path = fsspec.core.url_to_fs(pattern)
        paths = sorted(files.glob(path)) if _is_glob(path) else [path]
        infos = {files.unstrip_protocol(name): files.info(name) for name in paths}
    except (OSError, ValueError, ImportError) as error:
        raise InputError(_unopened(pattern, error)) from error
    if not infos:
        raise InputError(f"no file matches the input {pattern}")
    for address, info in infos.items():
        if info.get("type") == "directory":
            raise InputError(f"the input {address} is a directory; give a glob such as {address}/*.gz")
        if address.startswith("file://"):  # where it costs nothing, know before any work that it can be read
            with open_input(address) as source:
                source.read(1)
    return infos


def _is_glob(path: str) -> bool:
    return any(mark in path for mark in "*?[")


def _root(given: str | None, addresses: Sequence[str]) -> str:
    """Return what is cut off the addresses, with its slash."""
    if given is None:
        shared = posixpath.commonprefix([address.split("/")[:-1] for address in addresses])
        return "".join(folder + "/" for folder in shared)
    files, path = fsspec.core.url_to_fs(given)
    root = str(files.unstrip_protocol(path)).rstrip("/") + "/"
    outside = next((address for address in addresses if not address.startswith(root)), None)
    if outside:
        raise InputError(
            f"the input {outside} does not lie under extract.root, {root}; leave the root out or name one above it"
        )
    return root


def _stamp(info: Mapping[str, Any]) -> str:
    """Return a file's etag, or its time of change as text."""
    for key in ("ETag", "etag", "mtime", "LastModified", "last_modified", "created"):
        value = info.get(key)
        if value is not None:
            return value.isoformat() if isinstance(value, datetime) else str(value)
    return ""
