"""The trainer and the evaluation read a sealed manifest as if what the removal list names were not in it."""

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_trainer_train import SECTION
from tinymanifest import shapes_folder

from curation.config import RunConfig, RunSection
from curation.errors import InputError, StageError
from curation.removal_files import load_removals
from curation.schemas import TABLES
from curation.stage import Record
from trainer import evaluate, train
from trainer.manifest import read_rows, removed_pairs, with_selection, without


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes_folder(tmp_path_factory.mktemp("manifest"), pictures=16, heldout=6, side=20)


def config_of(path: Path, folder: Path, *lines: str) -> RunConfig:
    """A run on the folder with these lines as its removal list."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "removals.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    section = dataclasses.replace(SECTION, manifest=folder, steps=2, checkpoint_every=2, warmup=1)
    run = RunSection(path=path / "run", removals=(str(path / "removals.txt"),) if lines else ())
    return RunConfig(run=run, train=section)


def captions(record: Record) -> dict[str, int]:
    found = next(ledger for ledger in record.ledgers if ledger["unit"] == "captions")
    return {"in": found["in"], "out": found["out"]} | found["dropped"]


def test_listed_rows_are_not_trained_on_and_are_counted(tmp_path: Path, folder: Path) -> None:
    rows = read_rows(folder).filter(read_rows(folder)["selected"]).to_pylist()
    record = train.run(config_of(tmp_path, folder, rows[0]["url"], rows[-1]["image_id"]))
    assert captions(record) == {"in": 44, "out": 28, "held_out": 12, "removed": 4}


def test_another_list_is_another_training_only_where_it_touches_the_manifest(
    tmp_path: Path, folder: Path
) -> None:
    url = read_rows(folder).filter(read_rows(folder)["selected"])["url"][0].as_py()
    train.run(config_of(tmp_path, folder))
    assert train.run(config_of(tmp_path, folder, "nobody.example.org")).skipped
    with pytest.raises(StageError, match="externals"):
        train.run(config_of(tmp_path, folder, "nobody.example.org", url))


def test_listed_pictures_are_not_asked_for(tmp_path: Path, folder: Path) -> None:
    held = read_rows(folder).filter(pa.compute.equal(read_rows(folder)["split"], "heldout")).to_pylist()
    base = config_of(tmp_path / "all", folder)
    train.run(base)
    both = []
    for name, lines in (("all", ()), ("less", (held[0]["url"],))):
        config = config_of(tmp_path / name, folder, *lines)
        section = dataclasses.replace(config.evaluate, checkpoint=base.run.path / "train" / "final.pt")
        both.append(evaluate.run(dataclasses.replace(config, evaluate=section)))
    whole, less = both
    assert whole.notes["pictures"] == 6
    assert less.notes["pictures"] == 5
    assert captions(less) == {"in": 12, "out": 10, "removed": 2}
    assert [ledger["unit"] for ledger in whole.ledgers] == ["images"]
    with pytest.raises(InputError, match="no held-out captions"):
        evaluate.heldout_rows(folder, pa.array([row["pair_id"] for row in held], pa.large_string()))


def test_a_selection_may_name_what_was_removed_at_the_seal(tmp_path: Path) -> None:
    place = shapes_folder(tmp_path / "sealed", pictures=4, heldout=1)
    rows, gone = read_rows(place), "0" * 32
    selection = pa.table(
        {"pair_id": [gone, rows["pair_id"][0].as_py()], "keep_prob": [1.0, 1.0], "selected": [True, True]}
    )
    pq.write_table(selection, tmp_path / "s.parquet")
    with pytest.raises(InputError, match="selects 1 pairs that the manifest does not hold"):
        with_selection(rows, tmp_path / "s.parquet", place)
    (place / "removed").mkdir()
    removed = {"pair_id": gone, "image_id": "a", "source_image_id": "a", "rule": "url"}
    pq.write_table(pa.Table.from_pylist([removed], schema=TABLES["removed"]), place / "removed" / "0.parquet")
    assert sum(with_selection(rows, tmp_path / "s.parquet", place)["selected"].to_pylist()) == 1


def test_no_list_reads_nothing_more(tmp_path: Path, folder: Path) -> None:
    rows = read_rows(folder)
    assert without(rows, removed_pairs(tmp_path / "is not read", load_removals([]))) is rows
