"""Training as processes: two under torchrun against one, and one that is killed by a signal."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tinymanifest import shapes_folder

from trainer.checkpoint import load_model

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path
from curation.runfile import load
from trainer.train import run
run(load(Path(sys.argv[1])))
threads = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
assert not [name for name in threads if "gloo" in name], f"threads of the group are left, and may abort the exit: {threads}"
"""
CONFIG = """
[run]
path = "{path}"
[train]
manifest = "{manifest}"
image_size = 16
patch_size = 8
width = 32
layers = 1
text_width = 32
text_layers = 1
head_width = 16
embed_dim = 16
context_length = 16
vocab_size = 320
batch_size = 16
steps = {steps}
warmup = 2
log_every = 1
checkpoint_every = 5
device = "cpu"
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes_folder(tmp_path_factory.mktemp("manifest"), pictures=32, heldout=4, side=20)


def prepared(tmp_path: Path, folder: Path, name: str, steps: tuple[int, ...]) -> tuple[list[str], Path]:
    """Write the script and a configuration; return the script's arguments and the stage's directory."""
    (tmp_path / "train.py").write_text(SCRIPT)
    path = tmp_path / f"{name}.toml"
    path.write_text(CONFIG.format(path=tmp_path / name, manifest=folder, steps=steps))
    return [str(tmp_path / "train.py"), str(path)], tmp_path / name / "train"


def started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> None:
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_give_the_losses_and_weights_of_one_with_the_whole_batch(
    tmp_path: Path, folder: Path
) -> None:
    alone, out_alone = prepared(tmp_path, folder, "alone", 6)
    together, out_together = prepared(tmp_path, folder, "together", 6)
    finished(started(alone))
    finished(started(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *together]))
    assert losses(out_together) == pytest.approx(losses(out_alone), abs=1e-5)
    expected, found = (load_model(out / "final.pt")[0].state_dict() for out in (out_alone, out_together))
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-4, rtol=1e-3)
    assert json.loads((out_together / "_stage.json").read_text())["notes"]["processes"] == 2


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_to_the_same_bytes(tmp_path: Path, folder: Path) -> None:
    whole, out_whole = prepared(tmp_path, folder, "whole", 60)
    killed, out_killed = prepared(tmp_path, folder, "killed", 60)
    finished(started(whole))
    process = started(killed)
    metrics = out_killed / "metrics.jsonl"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (
        metrics.is_file() and len(metrics.read_text().splitlines()) >= 12
    ):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out_killed / "_stage.json").exists()
    finished(started(killed))
    assert json.loads((out_killed / "_stage.json").read_text())["notes"]["resumed_at_step"] >= 10
    assert (out_killed / "final.pt").read_bytes() == (out_whole / "final.pt").read_bytes()
    assert losses(out_killed) == losses(out_whole)
