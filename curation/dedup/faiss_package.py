"""faiss, however it is installed: one of two distributions of the same module, with GPUs or without."""

import functools
import warnings
from dataclasses import dataclass
from importlib import metadata as distributions
from types import ModuleType
from typing import Any

from curation.errors import ConfigError
from curation.extras import missing

_SCRATCH_BYTES = 1 << 28  # of a GPU, a process: several tasks may share one


def load_faiss() -> ModuleType:
    """Import faiss.

    Raises MissingExtraError where it is not installed, and ConfigError where both its distributions are.
    """
    faiss_version()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SWIG's own deprecations
        import faiss
    module: ModuleType = faiss
    return module


def faiss_version() -> str:
    """Return distribution and version of the installed faiss. Raises as `load_faiss` does."""
    found = {name: version for name in ("faiss-cpu", "faiss-gpu") if (version := _installed(name))}
    if len(found) == 2:
        raise ConfigError(
            "faiss-cpu and faiss-gpu are both installed; they write the same folder 'faiss', so which of them runs, and "
            "whether it is whole, is chance: run 'pip uninstall faiss-cpu faiss-gpu', then install one of them"
        )
    if not found:
        raise missing("the search for near-duplicates", "faiss", more="'bicurate[gpu]' for CUDA 12")
    return " ".join(next(iter(found.items())))


def _installed(name: str) -> str | None:
    try:
        return distributions.version(name)
    except distributions.PackageNotFoundError:
        return None


def gpus() -> int:
    """Return how many GPUs faiss sees: 0 for faiss-cpu."""
    return int(getattr(load_faiss(), "get_num_gpus", int)())


@dataclass(frozen=True)
class GpuResources:
    """What faiss keeps for a GPU."""

    handle: Any
    number: int


@functools.cache
def resources(device: str) -> GpuResources:
    """Return faiss's resources of a GPU, made once a process. Raises ConfigError where faiss sees no such GPU."""
    faiss = load_faiss()
    number = int(device.partition(":")[2] or 0)
    if number >= gpus():
        raise ConfigError(
            f"device {device!r} is asked for, and faiss ({faiss_version()}) sees {gpus()} GPUs: install 'bicurate[gpu]' on a "
            f"machine with one, or set neighbours.device to cpu, which finds the same pairs"
        )
    handle = faiss.StandardGpuResources()
    handle.setTempMemory(_SCRATCH_BYTES)
    return GpuResources(handle, number)
