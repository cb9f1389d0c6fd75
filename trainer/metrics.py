"""`metrics.jsonl` and what a person sees while training runs: a bar on a terminal, plain lines in a log."""

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from curation.config import TrainSection
from curation.stage import write_atomically
from trainer.processes import Group

LINES = 20  # of a log without a terminal, over the run


class Metrics:
    """Lines of losses, written by process 0; a resumed run goes on after the line of its checkpoint."""

    def __init__(
        self, path: Path, section: TrainSection, group: Group, languages: list[str], first: int
    ) -> None:
        self._path, self._section, self._group, self._languages = path, section, group, languages
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._since, self._step, self._printed = time.monotonic(), first, first
        self.final: dict[str, Any] = {}
        """Of the last line: final_loss, in all and by language."""
        if group.leads:
            self._cut(first)

    def _cut(self, first: int) -> None:
        """Take back the lines of steps that are done again."""
        text = self._path.read_text(encoding="utf-8") if self._path.is_file() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()  # what a kill cut short has no end of line
        kept = [line for line in whole if json.loads(line)["step"] <= first]
        write_atomically(self._path, "".join(line + "\n" for line in kept))
        if kept:
            self._note(json.loads(kept[-1]))

    def __enter__(self) -> Self:
        if self._group.leads and self._console.is_terminal:
            columns = (
                TextColumn("train"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console)
            self._bar.start()
            self._bar.add_task("", total=self._section.steps, completed=self._step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def log(self, step: int, window: torch.Tensor, lr: float, scale: float) -> None:
        """Write a line on the steps since the last, and empty the window; all processes must call it.

        window: float64 (languages, 2), sums of losses and numbers of pairs.
        """
        sums = self._group.add(window.clone()).cpu()
        window.zero_()
        now = time.monotonic()
        pairs_per_s = (step - self._step) * self._section.batch_size / max(now - self._since, 1e-9)
        self._since, self._step = now, step
        if not self._group.leads:
            return
        line = {"step": step, "loss": _mean(*sums.sum(0).tolist())}
        line |= {
            f"loss_{lang}": _mean(*sums[i].tolist()) for i, lang in enumerate(self._languages) if sums[i, 1]
        }
        line |= {"lr": lr, "scale": scale, "pairs_per_s": round(pairs_per_s, 1)}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._note(line)
        self._show(line)

    def _note(self, line: dict[str, Any]) -> None:
        self.final = {"final_loss": {key[5:] or "all": line[key] for key in line if key.startswith("loss")}}

    def _show(self, line: dict[str, Any]) -> None:
        words = f"loss {line['loss']:.3f}  {line['pairs_per_s']:.0f} pairs/s"
        step, steps = int(line["step"]), self._section.steps
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step, description=words)
        elif step == steps or step - self._printed >= steps / LINES:
            self._printed = step
            left = (steps - step) * self._section.batch_size / max(line["pairs_per_s"], 1e-9)
            print(f"train: step {step}/{steps}  {words}  {left:.0f} s left", file=sys.stderr, flush=True)


def _mean(total: float, number: float) -> float:
    return total / max(number, 1)
