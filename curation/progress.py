"""How far a long step is: a bar with rate and time left on a terminal, plain lines in a log."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watched(
    count: Callable[[], int], total: int, unit: str, *, every: float = 1.0, log_every: float = 30.0
) -> Iterator[None]:
    """Show the progress of what runs inside: `count()` of `total`, asked every some seconds in a thread.

    unit: what is counted, in plural. every, log_every: seconds between looks on a terminal, and between lines in a log.
    """
    stop = threading.Event()
    show = _bar if sys.stderr.isatty() else _lines
    thread = threading.Thread(
        target=show, args=(count, total, unit, stop, every if show is _bar else log_every), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _bar(count: Callable[[], int], total: int, unit: str, stop: threading.Event, every: float) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        first, started = count(), time.monotonic()
        task = progress.add_task(unit, total=total, completed=first, rate="")
        while not stop.wait(every):
            done = count()
            progress.update(task, completed=done, rate=f"{_rate(first, done, started):.0f}/s")


def _lines(count: Callable[[], int], total: int, unit: str, stop: threading.Event, every: float) -> None:
    first, started = count(), time.monotonic()
    while not stop.wait(every):
        done = count()
        rate = _rate(first, done, started)
        left = f"{(total - done) / rate:.0f} s left" if rate else "time left unknown"
        print(f"{done} of {total} {unit}, {rate:.0f}/s, {left}", file=sys.stderr, flush=True)


def _rate(first: int, done: int, started: float) -> float:
    return (done - first) / max(time.monotonic() - started, 0.001)
