"""The image tower of a checkpoint as a descriptor: of this trainer's, or of open_clip's in the layout that both share.

`curation.dedup.networks` finds it by its dotted path for `embed.kind = "clip:CHECKPOINT"`. Beside open_clip's weights must lie its
`open_clip_config.json`: the weights alone say neither how many heads a block has nor which activation.
"""

# B pictures, C channels, H W pixels, D shared space

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from curation.errors import InputError
from trainer.checkpoint import OPEN_CLIP_CONFIG
from trainer.model import Block, ModelShape, VisionTransformer
from trainer.transforms import MEAN, STD

# open_clip's defaults for a vision tower (CLIPVisionCfg); a key of another value that is not here is a tower we do not build.
_DEFAULTS: dict[str, Any] = {
    "layers": 12,
    "width": 768,
    "head_width": 64,
    "patch_size": 16,
    "image_size": 224,
}
_HARMLESS = {
    "mlp_ratio": 4.0,
    "patch_dropout": None,
    "ls_init_value": None,
    "attentional_pool": False,
    "pool_type": "tok",
}
_VISUAL = "visual."


def settings_of(checkpoint: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the shape of a checkpoint's image tower, and how it sees pictures: side, interpolation, mean, std.

    Raises InputError that names the file.
    """
    state = _read(checkpoint)
    seen: dict[str, Any] = {"interpolation": "bicubic", "mean": MEAN, "std": STD}
    if "shape" in state:
        shape = {
            name: int(state["shape"][name])
            for name in ("image_size", "patch_size", "width", "layers", "heads")
        }
        tower = shape | {"embed_dim": int(state["shape"]["embed_dim"]), "quick_gelu": True}
    else:
        tower, stated = _of_config(checkpoint.with_name(OPEN_CLIP_CONFIG), checkpoint)
        seen |= stated
    return tower, {"side": tower["image_size"]} | seen


def image_tower(checkpoint: Path, tower: Mapping[str, Any]) -> nn.Module:
    """Return the tower, from float pictures (B, C, H, W) to vectors (B, D), ready to evaluate, on the CPU.

    tower: as `settings_of` gives. Raises InputError where the weights have other names or shapes.
    """
    whole = _read(checkpoint)
    weights = {
        name.removeprefix("module.").removeprefix(_VISUAL): value.float()
        for name, value in whole.get("state_dict", whole).items()
        if name.removeprefix("module.").startswith(_VISUAL) and isinstance(value, Tensor)
    }
    shape = {
        name: tower[name] for name in ("image_size", "patch_size", "width", "layers", "heads", "embed_dim")
    }
    text = dict.fromkeys(("text_width", "text_layers", "text_heads", "context_length", "vocab_size"), 0)
    model = VisionTransformer(ModelShape(**shape, **text))
    if not tower["quick_gelu"]:
        for block in model.modules():
            if isinstance(block, Block):
                block.mlp.gelu = nn.GELU()
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{checkpoint} does not hold the image tower that it is said to: {error}"[:600]
        ) from error
    return model.eval()


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"cannot read the checkpoint {checkpoint}: {error}"[:600]) from error
    if not isinstance(state, dict):
        raise InputError(f"{checkpoint} holds a {type(state).__name__}, no weights by name")
    return state


def _of_config(config: Path, checkpoint: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return shape and preprocessing by open_clip's own file. Raises InputError where it is missing, or names a tower of another build."""
    try:
        given = json.loads(config.read_text(encoding="utf-8"))
        model, vision = dict(given["model_cfg"]), dict(given["model_cfg"]["vision_cfg"])
        embed_dim = int(model["embed_dim"])
    except FileNotFoundError as error:
        example = '{"model_cfg": {"embed_dim": 512, "quick_gelu": true, "vision_cfg": {"width": 768, "layers": 12, "patch_size": 32}}}'
        raise InputError(
            f"{checkpoint} is no checkpoint of this trainer; for open_clip's weights put {config.name} beside it, such as {example}"
        ) from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(
            f"{config} is no configuration of open_clip's: {type(error).__name__} {error}"
        ) from error
    plain = _DEFAULTS.keys() | {
        key for key, value in vision.items() if key in _HARMLESS and _HARMLESS[key] == value
    }
    odd = sorted(vision.keys() - plain)
    found = _DEFAULTS | {key: vision[key] for key in _DEFAULTS if key in vision}
    odd += [key for key, value in found.items() if type(value) is not int]
    if odd:
        raise InputError(
            f"{config}: an image tower with {odd[0]} = {vision[odd[0]]!r} is not one that can be built here"
        )
    if found["width"] % found["head_width"]:
        raise InputError(
            f"{config}: width {found['width']} is no multiple of head_width {found['head_width']}"
        )
    tower = {key: found[key] for key in ("image_size", "patch_size", "width", "layers")}
    tower |= {"heads": found["width"] // found["head_width"], "embed_dim": embed_dim}
    tower["quick_gelu"] = bool(model.get("quick_gelu", False))
    stated = given.get("preprocess_cfg", {})
    kept = {key: stated[key] for key in ("interpolation", "mean", "std") if key in stated}
    return tower, {key: tuple(value) if isinstance(value, list) else value for key, value in kept.items()}
