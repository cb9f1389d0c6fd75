import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tinymanifest import draw, encoded, picture_row, shapes_folder, write_folder

from curation.config import RunConfig, RunSection, TrainSection
from curation.errors import ConfigError, InputError, StageError
from curation.ids import image_id
from trainer import loop, train
from trainer.checkpoint import load_latest, load_model
from trainer.learner import Learner, make_optimizer
from trainer.manifest import captions_of, manifest_digest, read_rows, training_rows
from trainer.model import CLIP, ModelShape
from trainer.processes import Group

SECTION = TrainSection(
    image_size=16, patch_size=8, width=32, layers=1, text_width=32, text_layers=1, head_width=16, embed_dim=16,
    context_length=16, vocab_size=320, batch_size=8, steps=13, warmup=3, checkpoint_every=4, log_every=3,
    crop_min_scale=0.5,
)  # fmt: skip
ALONE = Group(0, 1, torch.device("cpu"))


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes_folder(tmp_path_factory.mktemp("manifest"), pictures=16, heldout=4, side=20)


def learn(
    folder: Path, out: Path, section: TrainSection = SECTION, stop_after: int | None = None
) -> dict[str, Any]:
    def after_step(step: int) -> None:
        if step == stop_after:
            raise StoppedError

    out.mkdir(exist_ok=True)
    captions = captions_of(training_rows(read_rows(folder)), folder)
    return loop.train(section, captions, out, ALONE, manifest_sha256="0" * 64, after_step=after_step)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_model(out / "final.pt")[0].state_dict()


def lines(out: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "pairs_per_s"} for line in found]


def configuration(run_path: Path, folder: Path, **changes: Any) -> RunConfig:
    section = dataclasses.replace(SECTION, manifest=folder, **changes)
    return RunConfig(run=RunSection(path=run_path), train=section)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    out = tmp_path_factory.mktemp("whole")
    learn(folder, out)
    return out


def test_a_run_that_is_stopped_after_any_step_ends_with_the_same_weights_to_the_bit(
    tmp_path: Path, folder: Path, trained: Path
) -> None:
    for stop_after in range(1, 14):
        out = tmp_path / str(stop_after)
        with pytest.raises(StoppedError):
            learn(folder, out, stop_after=stop_after)
        notes = learn(folder, out)
        assert notes["resumed_at_step"] == (13 if stop_after == 13 else stop_after // 4 * 4)
        expected, found = weights(trained), weights(out)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert lines(out) == lines(trained)
        assert (out / "final.pt").read_bytes() == (trained / "final.pt").read_bytes()


def test_a_run_that_is_stopped_at_every_step_ends_too(tmp_path: Path, folder: Path, trained: Path) -> None:
    section = dataclasses.replace(SECTION, checkpoint_every=1)
    for stop_after in range(1, 14):
        with pytest.raises(StoppedError):
            learn(folder, tmp_path, section, stop_after=stop_after)
    learn(folder, tmp_path, section)
    assert lines(tmp_path) == lines(trained)


def test_a_line_that_a_kill_cut_short_and_files_half_written_do_not_stop_a_run(
    tmp_path: Path, folder: Path, trained: Path
) -> None:
    with pytest.raises(StoppedError):
        learn(folder, tmp_path, stop_after=10)
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 12, "lo')
    (tmp_path / ".checkpoint-00000012.pt.1.tmp").write_bytes(b"half")
    learn(folder, tmp_path)
    assert lines(tmp_path) == lines(trained)
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_process_that_only_reads_leaves_the_files_that_another_is_writing(tmp_path: Path) -> None:
    (tmp_path / ".metrics.jsonl.1.tmp").write_text("{}")
    assert load_latest(tmp_path, {}) is None
    assert (tmp_path / ".metrics.jsonl.1.tmp").exists()


def test_the_last_two_checkpoints_stay_and_no_temporary_file(trained: Path) -> None:
    names = sorted(path.name for path in trained.iterdir())
    assert [name for name in names if name.startswith("checkpoint")] == [
        "checkpoint-00000012.pt",
        "checkpoint-00000013.pt",
    ]
    assert not [name for name in names if "tmp" in name]


def test_every_span_of_steps_has_one_line_of_metrics(trained: Path) -> None:
    assert [line["step"] for line in lines(trained)] == [3, 6, 9, 12, 13]
    assert set(lines(trained)[0]) == {"step", "loss", "loss_en", "loss_ko", "lr", "scale"}


def test_another_seed_gives_other_weights(tmp_path: Path, folder: Path, trained: Path) -> None:
    learn(folder, tmp_path, dataclasses.replace(SECTION, train_seed=1))
    assert not torch.equal(weights(tmp_path)["visual.proj"], weights(trained)["visual.proj"])


def test_a_checkpoint_of_another_manifest_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(StoppedError):
        learn(folder, tmp_path, stop_after=5)
    captions = captions_of(training_rows(read_rows(folder)), folder)
    with pytest.raises(StageError, match="manifest_sha256"):
        loop.train(SECTION, captions, tmp_path, ALONE, manifest_sha256="1" * 64)


def test_one_batch_is_learnt_by_heart(tmp_path: Path) -> None:
    rows, bodies = [], {}
    words = ("fox", "boat", "달", "tree", "강아지", "house", "별", "rain")
    for number, word in enumerate(words):
        body = encoded(draw("red", "circle", str(number), 20))
        bodies[image_id(body)] = body
        rows.append(picture_row(body, word, "en", number, split="train", selected=True))
    folder = write_folder(tmp_path / "manifest", rows, bodies)
    section = dataclasses.replace(
        SECTION, steps=150, warmup=10, crop_min_scale=1.0, weight_decay=0.0, lr=3e-3, log_every=10
    )
    notes = learn(folder, tmp_path / "out", dataclasses.replace(section, checkpoint_every=150))
    assert notes["final_loss"]["all"] < 0.05


def test_a_loss_that_is_no_number_is_an_error_that_names_the_step(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(StageError, match=r"at step \d+ .*lower train.lr"):
        learn(folder, tmp_path, dataclasses.replace(SECTION, lr=1e30))


def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine_to_nothing(
    folder: Path, tmp_path: Path
) -> None:
    section = dataclasses.replace(SECTION, lr=1.0, warmup=4, steps=104)
    learner = Learner(section, ModelShape.of(section, 300), ALONE, ["en"])
    rates = [learner.lr_at(step) for step in range(105)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[54] == pytest.approx(0.5)
    assert rates[104] == pytest.approx(0.0)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_gains_biases_positions_and_the_scale_do_not_decay() -> None:
    model = CLIP(ModelShape.of(SECTION, 300))
    decayed, still = make_optimizer(model, SECTION).param_groups
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert still["weight_decay"] == 0.0
    assert {names[id(weight)].rpartition(".")[2] for weight in decayed["params"]} == {
        "weight", "in_proj_weight", "proj", "text_projection",
    }  # fmt: skip
    kept = {names[id(weight)] for weight in still["params"]}
    assert {
        "logit_scale",
        "positional_embedding",
        "visual.positional_embedding",
        "visual.class_embedding",
    } <= kept
    assert "token_embedding.weight" not in kept


def test_settings_that_contradict_the_data_are_refused_in_words(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.warmup is 60, train\.steps is 13"):
        learn(folder, tmp_path, dataclasses.replace(SECTION, warmup=60))
    with pytest.raises(ConfigError, match="32 captions are selected"):
        learn(folder, tmp_path, dataclasses.replace(SECTION, batch_size=64))


def test_the_stage_closes_its_sums_and_is_skipped_when_done(run_path: Path, folder: Path) -> None:
    record = train.run(configuration(run_path, folder))
    captions, images = record.ledgers
    assert captions == {"unit": "captions", "in": 40, "out": 32, "dropped": {"held_out": 8}, "merged": 0}
    assert images == {"unit": "images", "in": 16, "out": 16, "dropped": {}, "merged": 0}
    assert record.notes["selected"] == {"en": 16, "ko": 16}
    assert record.notes["epochs"] == round(13 * 8 / 32, 3)
    assert record.notes["vocabulary"]["fertility"]["ko"]["tokens_per_syllable"] > 0
    assert train.run(configuration(run_path, folder)).skipped
    with pytest.raises(StageError, match=r"train was made with another config\.lr"):
        train.run(configuration(run_path, folder, lr=0.1))


def test_a_stage_that_was_killed_goes_on(
    run_path: Path, folder: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.train
    with monkeypatch.context() as patched:
        patched.setattr(loop, "train", lambda *given, **named: real(*given, **named, after_step=_stop_at_ten))
        with pytest.raises(StoppedError):
            train.run(configuration(run_path, folder))
    record = train.run(configuration(run_path, folder))
    assert record.notes["resumed_at_step"] == 8
    assert all(torch.equal(weight, weights(trained)[name]) for name, weight in weights(record.path).items())


def _stop_at_ten(step: int) -> None:
    if step == 10:
        raise StoppedError


def test_another_manifest_under_the_same_path_is_noticed(run_path: Path, tmp_path: Path) -> None:
    folder = shapes_folder(tmp_path / "manifest", pictures=16, heldout=4, side=20)
    train.run(configuration(run_path, folder))
    (folder / "manifest.parquet").rename(folder / "old")
    (folder / "manifest.parquet").mkdir()
    other = shapes_folder(tmp_path / "other", pictures=17, heldout=4, side=20)
    (folder / "manifest.parquet" / "part-00000.parquet").write_bytes(
        (other / "manifest.parquet" / "part-00000.parquet").read_bytes()
    )
    assert manifest_digest(folder) == manifest_digest(other)
    with pytest.raises(StageError, match="externals"):
        train.run(configuration(run_path, folder))


def test_an_undecodable_picture_is_in_the_sums_by_reason(run_path: Path, tmp_path: Path) -> None:
    rows, bodies = [], {}
    for number in range(16):
        body = b"no picture" if number == 3 else encoded(draw("red", "circle", str(number), 32))
        bodies[image_id(body)] = body
        rows.append(picture_row(body, f"thing {number}", "en", number, split="train", selected=True))
    record = train.run(configuration(run_path, write_folder(tmp_path / "manifest", rows, bodies)))
    assert record.ledgers[1] == {
        "unit": "images",
        "in": 16,
        "out": 15,
        "dropped": {"undecodable_image": 1},
        "merged": 0,
    }
    assert list(record.notes["undecodable"]) == [image_id(b"no picture")]


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run 'curate train' first"):
        load_model(tmp_path / "final.pt")
    (tmp_path / "final.pt").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"cannot read the checkpoint .*final\.pt"):
        load_model(tmp_path / "final.pt")
