"""One step of training: the model, its optimiser, and what a checkpoint holds of them.

InfoNCE, AdamW, linear warm-up and cosine: CLIP's recipe (Radford et al. 2021, section 2) with MetaCLIP's weight decay.
"""

import math
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from curation.canonical import as_record
from curation.config import TrainSection
from curation.errors import ConfigError, StageError
from trainer.data import Batch, Batches
from trainer.losses import MAX_LOGIT_SCALE, info_nce
from trainer.model import CLIP, ModelShape, initialise
from trainer.processes import Group, choose_precision
from trainer.transforms import normalise

ADAM_EPSILON = 1e-6  # CLIP's, table 18, for the vision transformers
NO_DECAY = ("positional_embedding", "class_embedding", "logit_scale")


class Learner:
    """The model, its optimiser, and the losses since the last line of metrics."""

    def __init__(self, section: TrainSection, shape: ModelShape, group: Group, languages: list[str]) -> None:
        if section.warmup > section.steps:
            raise ConfigError(
                f"train.warmup is {section.warmup}, train.steps is {section.steps}: warm up in fewer steps"
            )
        self._section, self._group = section, group
        self.model = CLIP(shape)
        initialise(self.model, section.train_seed)
        self.model.to(group.device)
        self.optimizer = make_optimizer(self.model, section)
        self.precision = choose_precision(section.precision, group.device)
        self.window = torch.zeros(len(languages), 2, dtype=torch.float64, device=group.device)
        """Sums of the pairs' losses and numbers of pairs by language, since the last line of metrics."""
        self._parallel = DistributedDataParallel(self.model) if group.world > 1 else self.model

    @property
    def scale(self) -> float:
        """The factor on cosines."""
        return float(self.model.logit_scale.detach().exp())

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: linear to the peak, then a half cosine to 0."""
        lr, warmup, steps = self._section.lr, self._section.warmup, self._section.steps
        if step < warmup:
            return lr * (step + 1) / warmup
        return lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))

    def learn(self, batch: Batch, step: int) -> None:
        """Take one step. Raises StageError where the loss or a gradient is no number."""
        device = self._group.device
        pixels = normalise(torch.from_numpy(batch.pixels_bSS3).to(device))
        tokens, kept, langs = (
            torch.from_numpy(part).to(device) for part in (batch.tokens_bL, batch.kept_b, batch.lang_b)
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr_at(step)
        with torch.autocast(device.type, dtype=self.precision, enabled=self.precision is not None):
            image_bD, text_bD, scale = self._parallel(pixels, tokens)
        loss, rows_b = info_nce(image_bD, text_bD, scale, kept)
        self._check(loss, "loss", step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        limit = self._section.grad_clip or math.inf
        self._check(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit), "gradient's norm", step)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        values = torch.stack([rows_b * kept, kept.float()], dim=1).double()
        self.window.index_add_(0, langs, values)

    def _check(self, value: torch.Tensor, name: str, step: int) -> None:
        if not torch.isfinite(value):
            raise StageError(
                f"the {name} is {value.item()} at step {step + 1} (learning rate {self.lr_at(step):.2e}, "
                f"scale {self.scale:.1f}): lower train.lr or raise train.warmup"
            )

    def notes(self) -> dict[str, Any]:
        """Return what the record says of the model and of where it was trained."""
        device = self._group.device
        return {
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "processes": self._group.world,
            "precision": "bf16" if self.precision else "fp32",
        }

    def state(self, step: int, batches: Batches) -> dict[str, Any]:
        """Return what `resume` needs, gathered from all processes; all must call it. Tensors are the live ones."""
        self._group.add(self.window)
        if not self._group.leads:
            self.window.zero_()
        return {
            "step": step,
            "state_dict": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "window": self.window,
            "failures": merged_failures(batches, self._group),
            "shape": self.model.shape.as_json(),
            "config": as_record(self._section),
        }

    def resume(self, state: dict[str, Any] | None, batches: Batches) -> int:
        """Take up a checkpoint; return the number of steps done, 0 for none."""
        if state is None:
            return 0
        self.model.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._group.leads:
            self.window.copy_(state["window"])
            batches.store.failures.update(state["failures"])
        return int(state["step"])


def make_optimizer(model: CLIP, section: TrainSection) -> torch.optim.AdamW:
    """Return AdamW; gains, biases, the logit scale and the embeddings of positions and of the class do not decay."""
    named = list(model.named_parameters())
    still = {name for name, weight in named if weight.dim() < 2 or name.endswith(NO_DECAY)}
    groups = [
        {
            "params": [weight for name, weight in named if name not in still],
            "weight_decay": section.weight_decay,
        },
        {"params": [weight for name, weight in named if name in still], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=section.lr, betas=(0.9, section.beta2), eps=ADAM_EPSILON, fused=True)


def merged_failures(batches: Batches, group: Group) -> dict[str, str]:
    """Return the pictures that any process could not decode, with the error, by image_id."""
    return {key: text for part in group.collect(batches.store.failures) for key, text in part.items()}
