"""The lists that the package brings: English and Korean, ready offline. default.toml is their recipe, LICENSE.default.md
says whose work is in them, lists.json has their sizes and sha256. `python -m metadata.default RUN` takes them from a run.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

LISTS = "entries.parquet"
RECORDED = "lists.json"


@contextmanager
def default_path() -> Iterator[Path]:
    """Give the lists as a file, also where the package lies in a zip; gone after the block then."""
    with as_file(files(__name__) / LISTS) as path:
        yield path


def recorded() -> dict[str, dict[str, Any]]:
    """Return what is known of the lists, by language: entries, and the sha256 of the frozen list."""
    known: dict[str, dict[str, Any]] = json.loads((files(__name__) / RECORDED).read_text(encoding="utf-8"))
    return known
