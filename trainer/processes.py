"""One process or several: who leads, on which device, in which precision. Under `torchrun` the group comes from its environment."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from curation.errors import ConfigError


@dataclass(frozen=True)
class Group:
    """This process among the others."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Process 0 alone writes."""
        return self.rank == 0

    def share(self, value: Any = None) -> Any:
        """Return process 0's value in every process; the others wait for it."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def collect(self, value: Any) -> list[Any]:
        """Return every process's value, in rank order, in every process."""
        if self.world == 1:
            return [value]
        box: list[Any] = [None] * self.world
        dist.all_gather_object(box, value)
        return box

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over the processes, computed in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the processes that torchrun started (gloo on CPUs, nccl on GPUs), or work alone; leave at the end.

    device: auto, cpu or cuda. Raises ConfigError where cuda is asked for and absent.
    """
    rank, world, local = (int(os.environ.get(name, given)) for name, given in _TORCHRUN.items())
    chosen = choose_device(device, local)
    if world == 1:
        yield Group(0, 1, chosen)
        return
    # DistributedDataParallel imports this module, whose functions take the group of that moment as a default. Imported after the
    # group it would keep it alive past its end, and its threads, met by the interpreter's end, abort the process.
    importlib.import_module("torch.distributed.nn.functional")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Group(rank, world, chosen)
    finally:
        dist.destroy_process_group()


_TORCHRUN = {
    "RANK": 0,
    "WORLD_SIZE": 1,
    "LOCAL_RANK": 0,
}  # its environment, and what stands where it did not start us


def choose_device(device: str, local_rank: int = 0) -> torch.device:
    """Return the device by its setting. Raises ConfigError where cuda is asked for and absent."""
    present = torch.cuda.is_available()
    if device == "cuda" and not present:
        raise ConfigError("train.device is 'cuda', but torch sees no CUDA device; say 'cpu' or 'auto'")
    return torch.device("cuda", local_rank) if present and device != "cpu" else torch.device("cpu")


def choose_precision(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the type of autocast, None for none: bf16 where asked for, or by `auto` on a GPU that has it."""
    if precision == "bf16":
        return torch.bfloat16
    if precision == "auto" and device.type == "cuda":
        if torch.cuda.is_bf16_supported():
            return torch.bfloat16
        print(
            "this GPU has no bf16: training in fp32, at about a quarter of the speed",
            file=sys.stderr,
            flush=True,
        )
    return None
