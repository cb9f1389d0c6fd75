import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tinymanifest import draw, encoded, picture_row, shapes_folder, write_folder

from curation.config import TrainSection
from curation.datacomp import write_subset
from curation.errors import ConfigError, InputError
from curation.ids import image_id
from curation.schemas import TABLES
from curation.stage import read_record
from trainer.data import Batch, Batches, Order, ahead, epoch_order
from trainer.manifest import Captions, captions_of, manifest_digest, read_rows, training_rows, with_selection
from trainer.tokenizer import Vocabulary

SECTION = TrainSection(image_size=32, batch_size=8, steps=40, warmup=4, crop_min_scale=0.5, decode_threads=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes_folder(tmp_path_factory.mktemp("manifest"), pictures=18, heldout=4)


@pytest.fixture(scope="module")
def captions(folder: Path) -> Captions:
    return captions_of(training_rows(read_rows(folder)), folder)


@pytest.fixture(scope="module")
def vocabulary(captions: Captions) -> Vocabulary:
    return Vocabulary.train(captions.text_of(range(len(captions))), 320)


def all_batches(
    captions: Captions,
    vocabulary: Vocabulary,
    section: TrainSection,
    rank: int = 0,
    world: int = 1,
    steps: tuple[int, ...] = (0, 1, 4, 5, 39),
) -> list[Batch]:
    batches = Batches(captions, vocabulary, section, rank, world)
    found = [batches.get(step) for step in steps]
    batches.close()
    return found


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(
        np.array_equal(getattr(a, field.name), getattr(b, field.name))
        for a, b in zip(one, other, strict=True)
        for field in dataclasses.fields(a)
    )


def test_the_order_of_an_epoch_is_a_function_of_seed_epoch_and_ids() -> None:
    ids = sorted(f"{n:032x}" for n in range(50))
    assert epoch_order(ids, 0, 0).tolist() == epoch_order(ids, 0, 0).tolist()
    assert epoch_order(ids, 0, 0).tolist() != epoch_order(ids, 0, 1).tolist()
    assert epoch_order(ids, 0, 0).tolist() != epoch_order(ids, 1, 0).tolist()
    assert sorted(epoch_order(ids, 0, 3)) == list(range(50))


def test_a_pair_that_is_added_does_not_change_the_order_of_the_others() -> None:
    ids = sorted(f"{n:032x}" for n in range(50))
    fewer = [ids[row] for row in epoch_order(ids, 0, 0) if row != 17]
    kept = ids[:17] + ids[18:]
    assert [kept[row] for row in epoch_order(kept, 0, 0)] == fewer


def test_no_pair_stands_twice_in_an_epoch_and_steps_can_be_asked_in_any_order() -> None:
    ids = sorted(f"{n:032x}" for n in range(30))
    order = Order(ids, 0, 8)
    epoch = np.concatenate([order.rows(step) for step in range(order.per_epoch)])
    assert order.per_epoch == 3
    assert len(set(epoch.tolist())) == 24
    later = order.rows(7).tolist()
    assert order.rows(0).tolist() == epoch[:8].tolist()
    assert Order(ids, 0, 8).rows(7).tolist() == later


@pytest.mark.parametrize(
    "change", [{"decode_threads": 1}, {"decode_threads": 5}, {"cache_bytes": 0}, {"cache_bytes": 20_000}]
)
def test_batches_do_not_depend_on_threads_or_on_what_is_cached(
    captions: Captions, vocabulary: Vocabulary, change: dict[str, int]
) -> None:
    whole = all_batches(captions, vocabulary, SECTION)
    assert same(whole, all_batches(captions, vocabulary, dataclasses.replace(SECTION, **change)))
    assert same(whole, all_batches(captions, vocabulary, SECTION, steps=(0, 1, 4, 5, 39)))


def test_the_parts_of_several_processes_are_the_batch_of_one(
    captions: Captions, vocabulary: Vocabulary
) -> None:
    whole = all_batches(captions, vocabulary, SECTION)
    parts = [all_batches(captions, vocabulary, SECTION, rank, 4) for rank in range(4)]
    for step, batch in enumerate(whole):
        together = np.concatenate([part[step].pixels_bSS3 for part in parts])
        assert np.array_equal(together, batch.pixels_bSS3)
        assert np.array_equal(np.concatenate([part[step].lang_b for part in parts]), batch.lang_b)


def test_a_pair_is_cropped_anew_at_every_step(captions: Captions, vocabulary: Vocabulary) -> None:
    batches = Batches(captions, vocabulary, SECTION, 0, 1)
    row = batches.order.rows(0)[0]
    step = next(s for s in range(4, 8) if row in batches.order.rows(s))
    place = batches.order.rows(step).tolist().index(row)
    assert not np.array_equal(batches.get(0).pixels_bSS3[0], batches.get(step).pixels_bSS3[place])
    batches.close()


def test_rows_do_not_depend_on_how_they_lie_in_files(
    tmp_path: Path, folder: Path, captions: Captions, vocabulary: Vocabulary
) -> None:
    other = shapes_folder(tmp_path / "other", pictures=18, heldout=4, files=5)
    shuffled = captions_of(training_rows(read_rows(other)), other)
    assert shuffled.pair_ids == captions.pair_ids
    assert same(all_batches(captions, vocabulary, SECTION), all_batches(shuffled, vocabulary, SECTION))


def test_batch_size_must_fit_the_captions_and_the_processes(
    captions: Captions, vocabulary: Vocabulary
) -> None:
    with pytest.raises(ConfigError, match="36 captions"):
        Batches(captions, vocabulary, dataclasses.replace(SECTION, batch_size=37), 0, 1)
    with pytest.raises(ConfigError, match="multiple of 3 processes"):
        Batches(captions, vocabulary, SECTION, 0, 3)


def test_a_picture_that_cannot_be_decoded_is_counted_by_name_and_left_out(tmp_path: Path) -> None:
    bodies, rows = {}, []
    for number in range(8):
        body = b"no picture" if number == 3 else encoded(draw("red", "circle", str(number), 32))
        bodies[image_id(body)] = body
        rows.append(picture_row(body, f"thing {number}", "en", number, split="train", selected=True))
    folder = write_folder(tmp_path / "manifest", rows, bodies)
    captions = captions_of(training_rows(read_rows(folder)), folder)
    batches = Batches(captions, Vocabulary.train(["thing"], 300), SECTION, 0, 1)
    batch = batches.get(0)
    batches.close()
    assert list(batches.store.failures) == [image_id(b"no picture")]
    assert batch.kept_b.sum() == 7
    assert (batch.pixels_bSS3[~batch.kept_b] == 127).all()


def test_a_batch_without_any_picture_is_an_error_that_names_step_and_picture(tmp_path: Path) -> None:
    rows = [picture_row(b"none", f"thing {n}", "en", n, split="train", selected=True) for n in range(8)]
    folder = write_folder(tmp_path / "manifest", rows, {image_id(b"none"): b"none"})
    batches = Batches(captions_of(read_rows(folder), folder), Vocabulary.train(["thing"], 300), SECTION, 0, 1)
    with pytest.raises(InputError, match=rf"step 1: .*{image_id(b'none')}"):
        batches.get(0)
    batches.close()


def test_a_process_whose_share_is_all_undecodable_goes_on_where_another_has_a_picture(tmp_path: Path) -> None:
    rows = [picture_row(b"none", f"thing {n}", "en", n, split="train", selected=True) for n in range(7)]
    body = encoded(draw("red", "circle", "7", 32))
    rows.append(picture_row(body, "thing 7", "en", 7, split="train", selected=True))
    folder = write_folder(tmp_path / "manifest", rows, {image_id(b"none"): b"none", image_id(body): body})
    captions, vocabulary = captions_of(read_rows(folder), folder), Vocabulary.train(["thing"], 300)
    parts = [all_batches(captions, vocabulary, SECTION, rank, 4, (0,))[0] for rank in range(4)]
    assert sorted(part.kept_b.sum() for part in parts) == [0, 0, 0, 1]
    whole = all_batches(captions, vocabulary, SECTION, steps=(0,))[0]
    assert np.array_equal(np.concatenate([part.pixels_bSS3 for part in parts]), whole.pixels_bSS3)


def test_a_picture_whose_bytes_are_not_those_of_its_id_is_named_with_shard_and_offset(tmp_path: Path) -> None:
    folder = shapes_folder(tmp_path / "manifest", pictures=8, heldout=0)
    pictures = captions_of(read_rows(folder), folder).pictures
    assert all(image_id(pictures.read(n)) == pictures.image_ids[n] for n in range(len(pictures)))
    with (folder / pictures.shards[3]).open("r+b") as file:
        file.seek(int(pictures.offsets[3]) + 40)
        file.write(b"another")
    with pytest.raises(
        InputError, match=rf"{pictures.shards[3]} .*{pictures.image_ids[3]} at offset {pictures.offsets[3]}:"
    ):
        pictures.read(3)
    pictures.read(2)


def test_a_selection_replaces_what_is_selected(tmp_path: Path, folder: Path) -> None:
    rows = read_rows(folder)
    ids = training_rows(rows)["pair_id"].to_pylist()
    table = pa.table(
        {"pair_id": ids, "keep_prob": [0.5] * len(ids), "selected": [n < 5 for n in range(len(ids))]}
    )
    pq.write_table(
        table.cast(pa.schema([f.remove_metadata() for f in TABLES["selection"]])), tmp_path / "half.parquet"
    )
    chosen = training_rows(with_selection(rows, tmp_path / "half.parquet"))
    assert chosen["pair_id"].to_pylist() == ids[:5]


@pytest.mark.parametrize("form", ["directory", "files", "file", "npy"])
def test_a_selection_is_the_same_in_every_form_it_comes_in(tmp_path: Path, folder: Path, form: str) -> None:
    rows = read_rows(folder)
    ids = training_rows(rows)["pair_id"].to_pylist()
    table = pa.table(
        {"pair_id": ids, "keep_prob": [0.5] * len(ids), "selected": [n % 3 == 0 for n in range(len(ids))]}
    )
    out = tmp_path / "out"
    (out / "selection.parquet").mkdir(parents=True)
    parts = (
        table[:10],
        table[10:25],
        table[25:],
        table[:0],
    )  # files of several ranges of ids, one of them empty
    for number, part in enumerate(parts):
        pq.write_table(part, out / "selection.parquet" / f"{number:05d}.parquet")
    pq.write_table(table, out / "one.parquet")
    write_subset(out / "datacomp.npy", [pa.array(ids[::3], pa.string())], len(ids[::3]))
    place = {
        "directory": out, "files": out / "selection.parquet", "file": out / "one.parquet", "npy": out / "datacomp.npy",
    }[form]  # fmt: skip
    chosen = training_rows(with_selection(rows, place, folder))
    assert chosen["pair_id"].to_pylist() == ids[::3]


def test_a_selection_of_several_manifests_is_taken_for_each_and_for_no_other(
    tmp_path: Path, folder: Path
) -> None:
    rows = read_rows(folder)
    ids = training_rows(rows)["pair_id"].to_pylist()
    own = {"stage": "manifest", "tables": {}, "files": {"a": "1"}, "notes": {}, "ledgers": []}
    alone = tmp_path / "alone"
    shutil.copytree(folder, alone)
    (alone / "_stage.json").write_text(json.dumps(own))
    digest = read_record(alone).digest
    out = tmp_path / "several"
    (out / "selection.parquet").mkdir(parents=True)
    table = pa.table({"pair_id": [*ids[:5], "f" * 32], "selected": [True] * 6})
    pq.write_table(table, out / "selection.parquet" / "00000.parquet")

    def made_from(*digests: str) -> None:
        notes = {"manifests": [{"folder": f"m{n}", "digest": item} for n, item in enumerate(digests)]}
        (out / "_stage.json").write_text(json.dumps(own | {"notes": notes}))

    made_from(digest, "another")
    assert training_rows(with_selection(rows, out, alone))["pair_id"].to_pylist() == ids[:5]
    made_from(digest)
    with pytest.raises(InputError, match="selects 1 pairs that the manifest does not hold"):
        with_selection(rows, out, alone)
    made_from("another", "a third")
    with pytest.raises(
        InputError, match=r"was made from .*several/m0, .*several/m1, not from what .*alone holds now"
    ):
        with_selection(rows, out, alone)


def test_a_selection_of_another_manifest_or_of_held_out_pairs_is_refused(
    tmp_path: Path, folder: Path
) -> None:
    rows = read_rows(folder)
    pq.write_table(pa.table({"pair_id": ["f" * 32], "selected": [True]}), tmp_path / "alien.parquet")
    with pytest.raises(InputError, match="selects 1 pairs that the manifest does not hold"):
        with_selection(rows, tmp_path / "alien.parquet")
    ids = rows["pair_id"].to_pylist()
    pq.write_table(pa.table({"pair_id": ids, "selected": [True] * len(ids)}), tmp_path / "all.parquet")
    with pytest.raises(InputError, match="8 selected captions are held out"):
        training_rows(with_selection(rows, tmp_path / "all.parquet"))


def test_what_is_missing_from_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no manifest\.parquet"):
        read_rows(tmp_path)
    folder = shapes_folder(tmp_path / "manifest", pictures=8, heldout=0)
    with (folder / "00001.tar").open("r+b") as file:
        file.truncate(600)
    with pytest.raises(InputError, match=r"00001\.tar has 600 bytes"):
        captions_of(read_rows(folder), folder)
    (folder / "00001.tar").unlink()
    with pytest.raises(InputError, match=r"the shard 00001\.tar, which"):
        captions_of(read_rows(folder), folder)
    rows = read_rows(folder)
    outside = rows.set_column(
        rows.schema.get_field_index("shard"), "shard", pa.array(["../x.tar"] * len(rows))
    )
    with pytest.raises(InputError, match="not inside"):
        captions_of(outside, folder)


def test_the_digest_of_a_manifest_is_of_its_content(tmp_path: Path, folder: Path) -> None:
    same_again = shapes_folder(tmp_path / "same", pictures=18, heldout=4)
    fewer = shapes_folder(tmp_path / "fewer", pictures=17, heldout=4)
    assert manifest_digest(same_again) == manifest_digest(folder) != manifest_digest(fewer)


def test_what_is_prepared_ahead_comes_in_order_and_raises_at_its_place() -> None:
    assert list(ahead(lambda step: step * step, 3, 9)) == [9, 16, 25, 36, 49, 64]
    assert list(ahead(lambda step: step, 5, 5)) == []
    failing = ahead(lambda step: 1 // (2 - step), 0, 5)
    assert [next(failing), next(failing)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(failing)
