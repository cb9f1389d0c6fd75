"""Checkpoints: what training needs to go on to the bit, and the weights as open_clip reads them.

`checkpoint-00000200.pt` after 200 steps, of which the last two stay; `final.pt` at the end. Every file is written under a temporary name and
renamed, so a name that can be seen is a file that is whole.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from curation.canonical import canonical_json
from curation.errors import InputError, StageError
from curation.stage import write_atomically
from trainer.model import CLIP, ModelShape
from trainer.transforms import MEAN, STD

KEPT = 2  # checkpoints that stay
FINAL = "final.pt"
TOKENIZER = "tokenizer.json"
OPEN_CLIP_WEIGHTS = "open_clip_pytorch_model.bin"  # the name that open_clip's local-dir: looks for
OPEN_CLIP_CONFIG = "open_clip_config.json"


def save(state: dict[str, Any], path: Path) -> None:
    """Write a state under a temporary name, flush it to the disk, rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def save_step(state: dict[str, Any], folder: Path) -> None:
    """Write the checkpoint of state["step"] and remove all but the last two."""
    save(state, folder / f"checkpoint-{state['step']:08d}.pt")
    for old in _checkpoints(folder)[:-KEPT]:
        old.unlink()


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written. Only the process that writes may sweep, before the others go on."""
    for rest in folder.glob(".*.tmp"):
        rest.unlink(missing_ok=True)


def load_latest(folder: Path, belongs: dict[str, str]) -> dict[str, Any] | None:
    """Return the last checkpoint, None where there is none.

    belongs: values that it must hold (tokenizer and manifest hashes). Raises StageError where it holds others.
    """
    found = _checkpoints(folder)
    if not found:
        return None
    state: dict[str, Any] = torch.load(found[-1], map_location="cpu", weights_only=True)
    for key, value in belongs.items():
        if state[key] != value:
            raise StageError(
                f"{found[-1]} has {key} {state[key][:12]}..., this run has {value[:12]}...; "
                f"pass --on-existing overwrite to begin again"
            )
    return state


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"))


def finish(model: CLIP, folder: Path, notes: dict[str, Any]) -> None:
    """Write `final.pt` with the weights and notes, and beside it what open_clip needs.

    `open_clip.create_model("local-dir:FOLDER")` then gives the model, and `get_tokenizer` its tokenizer (through transformers).
    """
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    save({"state_dict": weights, "shape": model.shape.as_json()} | notes, folder / FINAL)
    preprocess = {"mean": list(MEAN), "std": list(STD), "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": model.shape.open_clip_config(), "preprocess_cfg": preprocess}
    write_atomically(folder / OPEN_CLIP_CONFIG, canonical_json(config) + "\n")
    special = {"pad_token": "[PAD]", "bos_token": "[SOT]", "eos_token": "[EOT]"}
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast"} | special
    write_atomically(folder / "tokenizer_config.json", canonical_json(tokenizer) + "\n")
    _link(folder / FINAL, folder / OPEN_CLIP_WEIGHTS)


def _link(source: Path, name: Path) -> None:
    """Give a file a second name; a copy where the file system has no links."""
    name.unlink(missing_ok=True)
    try:
        os.link(source, name)
    except OSError:
        shutil.copyfile(source, name)


def load_model(path: Path, device: str = "cpu") -> tuple[CLIP, dict[str, Any]]:
    """Return the model of a `final.pt` or of a checkpoint, ready to evaluate, and what else the file says.

    Raises InputError that names the file.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path}; run 'curate train' first") from error
    except Exception as error:
        raise InputError(f"cannot read the checkpoint {path}: {error}") from error
    if "shape" not in state or "state_dict" not in state:
        raise InputError(f"{path} is no checkpoint of this trainer: it holds {', '.join(sorted(state)[:5])}")
    model = CLIP(ModelShape(**state["shape"]))
    model.load_state_dict(state.pop("state_dict"))
    return model.to(device).eval(), state
