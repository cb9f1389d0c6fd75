"""InfoNCE over the whole batch, on one process or several, with the same value and the same gradients.

Oord et al. 2018; Radford et al. 2021. Each process holds b of the batch's B pairs; vectors of the others are gathered with gradient.
"""

# b pairs of this process, B pairs of all processes, D shared space

import math
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

MAX_LOGIT_SCALE = math.log(100)  # CLIP, section 2.5


def info_nce(image_bD: Tensor, text_bD: Tensor, scale: Tensor, kept_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss to go backward from, a scalar, and the loss of each own pair, (b,), without gradient.

    kept_b: bool; False where the picture could not be decoded. Such a pair is neither asked for nor a negative.
    Over processes, the *mean* of the first is the loss of the whole batch, and so are its gradients (which
    DistributedDataParallel averages).
    """
    world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    image_BD, text_BD = gather_with_gradient(image_bD, world), gather_with_gradient(text_bD, world)
    kept_B = gather(kept_b, world)
    own = torch.arange(len(image_bD), device=image_bD.device) + rank * len(image_bD)
    hidden_bB = kept_b[:, None] & ~kept_B[None, :]  # a row that is not kept stays finite, and has no weight
    rows_b = torch.zeros_like(kept_b, dtype=torch.float32)
    for query_bD, key_BD in ((image_bD, text_BD), (text_bD, image_BD)):
        logits_bB = (scale * query_bD @ key_BD.T).masked_fill(hidden_bB, -math.inf)
        rows_b = rows_b + F.cross_entropy(logits_bB, own, reduction="none") / 2
    loss = (rows_b * kept_b).sum() / kept_B.sum() * world
    return loss, rows_b.detach()


def info_nce_oracle(image_BD: Tensor, text_BD: Tensor, scale: float) -> float:
    """Return the loss of one whole batch, pair by pair: the definition, slowly."""
    total = 0.0
    for query_BD, key_BD in ((image_BD, text_BD), (text_BD, image_BD)):
        for index, query_D in enumerate(query_BD.double()):
            products = [scale * float(query_D @ key_D) for key_D in key_BD.double()]
            largest = max(products)
            total -= products[index] - largest - math.log(sum(math.exp(p - largest) for p in products))
    return total / (2 * len(image_BD))


def gather_with_gradient(rows_bD: Tensor, world: int) -> Tensor:
    """Return the rows of all processes in rank order, (B, D); gradients flow back to the process they came from."""
    if world == 1:
        return rows_bD
    gathered: Tensor = _Gather.apply(rows_bD)  # type: ignore[no-untyped-call]
    return gathered


def gather(values_b: Tensor, world: int) -> Tensor:
    """Return the values of all processes in rank order, without gradient."""
    if world == 1:
        return values_b
    parts = [torch.empty_like(values_b) for _ in range(world)]
    dist.all_gather(parts, values_b.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    """All-gather whose backward sums every process's gradient of a row and hands it to the row's owner."""

    @staticmethod
    def forward(ctx: Any, rows_bD: Tensor) -> Tensor:
        ctx.first, ctx.rows = dist.get_rank() * len(rows_bD), len(rows_bD)
        return gather(rows_bD, dist.get_world_size())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad_BD = grads[0].contiguous()
        dist.all_reduce(grad_BD)
        return grad_BD[ctx.first : ctx.first + ctx.rows]
