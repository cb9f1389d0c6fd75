"""Peak memory and processor time of a process and all that it started, by kind: a JVM, Python workers of Spark, the rest.

Each process counts with its proportional set size (PSS): pages that processes share are split among them, so that the sum is
what the machine gave. Linux only.
"""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

INTERVAL = 0.25  # seconds between looks


class PeakMemory:
    """Looks at a process tree from a thread while the block runs.

    peaks: bytes by kind and of the sum. cpu_seconds: of all processes, as far as each was seen before it ended.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self.peaks: dict[str, int] = {}
        self._cpu: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def cpu_seconds(self) -> float:
        """Return the processor seconds of all processes together."""
        return sum(self._cpu.values())

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            found: dict[str, int] = {}
            for process in _tree(self.root):
                name, size = _kind(process), _pss(process)
                self._cpu[process] = max(self._cpu.get(process, 0.0), _cpu_seconds(process))
                found[name] = found.get(name, 0) + size
            found["all"] = sum(found.values())
            for name, size in found.items():
                self.peaks[name] = max(self.peaks.get(name, 0), size)


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        process = todo.pop()
        found.append(process)
        todo += children.get(process, [])
    return found


def _cpu_seconds(process: int) -> float:
    try:
        fields = (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kind(process: int) -> str:
    try:
        command = (Path("/proc") / str(process) / "cmdline").read_bytes()
    except OSError:
        return "other"
    if b"java" in command.split(b"\0")[0]:
        return "jvm"
    return "workers" if b"pyspark" in command else "python"


def _pss(process: int) -> int:
    try:
        lines = (Path("/proc") / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
