"""Progress of a Spark stage: tasks done of all, rate and time left on a terminal; plain lines in a log."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from curation.spark.session import running_context

POLL_SECONDS = 0.5
LOG_SECONDS = 30.0


@contextmanager
def watch(name: str) -> Iterator[None]:
    """Show the tasks of the active Spark jobs while the block runs."""
    done = threading.Event()
    show = _on_terminal if sys.stderr.isatty() else _in_log
    thread = threading.Thread(target=show, args=(name, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)


def _tasks() -> tuple[int, int] | None:
    """Return tasks (done, in all) of the active stages, or None where nothing runs."""
    context = running_context()
    if context is None:
        return None
    tracker = context.statusTracker()
    infos = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    found = [info for info in infos if info is not None]
    if not found:
        return None
    return sum(info.numCompletedTasks for info in found), sum(info.numTasks for info in found)


def _on_terminal(name: str, done: threading.Event) -> None:
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TextColumn("tasks, left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=None)
        while not done.wait(POLL_SECONDS):
            counted = _tasks()
            if counted:
                progress.update(task, completed=counted[0], total=counted[1])


def _in_log(name: str, done: threading.Event) -> None:
    started = time.monotonic()
    while not done.wait(LOG_SECONDS):
        counted = _tasks()
        where = f"{counted[0]} of {counted[1]} tasks of the current step" if counted else "between steps"
        print(f"{name}: {where}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
