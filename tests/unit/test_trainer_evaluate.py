import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tinymanifest import COLOURS, KOREAN, shapes_folder

from curation.config import EvaluateSection, RunConfig, RunSection, TrainSection
from curation.errors import InputError, StageError
from trainer import evaluate, train
from trainer.encode import Encoder
from trainer.manifest import read_rows

SECTION = TrainSection(
    image_size=16, patch_size=8, width=32, layers=1, text_width=32, text_layers=1, head_width=16, embed_dim=16,
    context_length=16, vocab_size=320, batch_size=64, steps=200, warmup=10, checkpoint_every=200, log_every=50, lr=3e-3,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes_folder(tmp_path_factory.mktemp("manifest"), pictures=200, heldout=40, side=20)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> RunConfig:
    colours = tmp_path_factory.mktemp("classes")
    rows = read_rows(folder).to_pylist()
    truth = {
        row["url"]: colour
        for row in rows
        for colour in COLOURS
        if row["lang"] == "en" and colour in row["caption"]
    }
    (colours / "truth.json").write_text(json.dumps(truth))
    languages = {
        "en": {
            "labels": {colour: [colour] for colour in COLOURS},
            "templates": ["a {} circle", "one {} square, drawn"],
        },
        "ko": {
            "labels": {colour: [KOREAN[colour]] for colour in COLOURS},
            "templates": ["{} 원", "{} 사각형 그림"],
        },
    }
    given = {"name": "colours", "languages": languages, "images": {"file": "truth.json", "key": "url"}}
    (colours / "colours.json").write_text(json.dumps(given, ensure_ascii=False))
    found = RunConfig(
        run=RunSection(path=tmp_path_factory.mktemp("run")),
        train=dataclasses.replace(SECTION, manifest=folder),
        evaluate=EvaluateSection(classes=(colours / "colours.json",)),
    )
    train.run(found)
    return found


def test_a_trained_model_retrieves_and_classifies_far_above_chance_in_both_languages(
    config: RunConfig,
) -> None:
    record = evaluate.run(config)
    found = json.loads((record.path / "evaluate.json").read_text())
    assert found == json.loads(json.dumps(record.notes))
    for lang in ("en", "ko"):
        part = found["retrieval"][lang]
        assert part["items"] == part["images"] == 40
        for way in ("image_to_text", "text_to_image"):
            assert part[way]["R@5"] > 2 * part["chance"][way]["R@5"]
        assert found["zero_shot"]["colours"][lang]["accuracy"] > 0.5
        assert found["zero_shot"]["colours"][lang]["chance"] == 0.25
    gap = found["retrieval"]["en"]["text_to_image"]["R@1"] - found["retrieval"]["ko"]["text_to_image"]["R@1"]
    assert found["gap"]["retrieval"]["text_to_image"]["R@1"] == pytest.approx(gap, abs=1e-5)
    assert evaluate.run(config).skipped


def test_batch_sizes_change_no_result(config: RunConfig, folder: Path) -> None:
    checkpoint = config.run.path / "train" / "final.pt"
    results = [evaluate.evaluate_checkpoint(checkpoint, folder, batch_size=size) for size in (1, 7, 1_000)]
    assert results[0] == results[1] == results[2]


def test_at_most_so_many_captions_a_language_are_asked(config: RunConfig, folder: Path) -> None:
    checkpoint = config.run.path / "train" / "final.pt"
    found = evaluate.evaluate_checkpoint(checkpoint, folder, max_items=7)
    assert {lang: part["items"] for lang, part in found["retrieval"].items()} == {"en": 7, "ko": 7}
    assert evaluate.evaluate_checkpoint(checkpoint, folder, max_items=7) == found


def test_texts_and_pictures_are_unit_vectors(config: RunConfig, folder: Path) -> None:
    model = Encoder(config.run.path / "train" / "final.pt", device="cpu", batch_size=3, threads=1)
    captions, _ = evaluate.heldout_captions(evaluate.heldout_rows(folder)[0], folder, 5)
    image_vectors, decoded = model.images(captions.pictures)
    assert decoded.all()
    assert np.allclose(np.linalg.norm(image_vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(model.texts(["red", "빨간 원", "", "a", "b"]), axis=1), 1, atol=1e-5)


def test_a_folder_without_held_out_captions_is_refused(tmp_path: Path, config: RunConfig) -> None:
    folder = shapes_folder(tmp_path / "manifest", pictures=8, heldout=0)
    with pytest.raises(InputError, match="no held-out captions"):
        evaluate.evaluate_checkpoint(config.run.path / "train" / "final.pt", folder)


def test_a_checkpoint_beside_another_tokenizer_is_refused(
    tmp_path: Path, config: RunConfig, folder: Path
) -> None:
    for name in ("final.pt", "tokenizer.json"):
        shutil.copy(config.run.path / "train" / name, tmp_path / name)
    text = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(text.replace('"NFC"', '"NFKC"'))
    with pytest.raises(InputError, match=r"put its own tokenizer\.json there"):
        evaluate.evaluate_checkpoint(tmp_path / "final.pt", folder)


def test_evaluation_without_training_says_what_to_run(tmp_path: Path, folder: Path) -> None:
    config = RunConfig(run=RunSection(path=tmp_path), evaluate=EvaluateSection(manifest=folder))
    with pytest.raises(StageError, match="run 'curate train' first"):
        evaluate.run(config)
