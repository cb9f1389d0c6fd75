"""What a benchmark ran on: for the record beside its figures."""

import os
import platform
from importlib import metadata
from pathlib import Path


def machine() -> dict[str, str | int | None]:
    """Return the processor's name, the cores and the system."""
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()}


def versions(*names: str) -> dict[str, str]:
    """Return the versions of Python and of the distributions that are installed."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
