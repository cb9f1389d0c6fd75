"""Make a run's lists the package's own: python -m metadata.default runs/default-lists (see default.toml)."""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

from curation.stage import read_record
from metadata.default import LISTS, RECORDED
from metadata.entries import frozen_lists


def adopt(run: Path, home: Path) -> None:
    """Copy the table of a run's finished stage `metadata` and note what identifies its lists.

    Raises StageError where the run has none.
    """
    record = read_record(run / "metadata")
    lists = {
        lang: {"entries": found.size, "sha256": found.sha256} for lang, found in frozen_lists(record).items()
    }
    table = pq.read_table(record.path / "entries" / "entries.parquet")
    pq.write_table(table, home / LISTS, compression="zstd", compression_level=19)
    (home / RECORDED).write_text(json.dumps(lists, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    adopt(Path(sys.argv[1]), Path(__file__).parent)
