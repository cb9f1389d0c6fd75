"""`curate verify RUN`: hash every file of a run again, and derive a sample of its decisions again. Writes nothing.

Status 1 where anything is not as it was written, with the list of it. A manifest's folder can be verified by itself.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape

from curation.audit import decisions, duplicates, hashes, sealed
from curation.audit.files import RunFiles
from curation.audit.findings import Findings
from curation.audit.records import check_records
from curation.errors import require
from curation.progress import watched
from curation.report.lists import line
from curation.report.visible import visible

FAULTY = 1
FAULT_CHARS = 500


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Options of `curate verify`."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run, or a finished stage by itself, such as a manifest's folder."""
    share: float = 0.01
    """Share of the pairs and pictures whose decisions are derived again, drawn by coin; 1 for all of them."""
    seed: int = 0
    """Seed of that coin: another one draws others."""
    json: bool = False
    """Print JSON: faults, remarks and how much was checked."""

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, "share", self.share, "a share in [0, 1]")


def main(args: Sequence[str], console: Console) -> int:
    """Run the verb; return 0, or 1 where there are faults."""
    about = "Hash every file of a run again, and derive a sample of its decisions again."
    options = tyro.cli(VerifyOptions, prog="curate verify", description=about, args=args)
    found = verify(options)
    if options.json:
        told = {
            "run": str(options.run), "faults": [asdict(fault) for fault in found.faults], "more": found.more(),
            "remarks": found.remarks, "checked": dict(found.checked),
        }  # fmt: skip
        print(json.dumps(told, ensure_ascii=False))
    else:
        _print(found, options, console)
    return FAULTY if found.faults else 0


def verify(options: VerifyOptions) -> Findings:
    """Return what is found. Raises InputError where the path holds no finished stage."""
    files, found = RunFiles(options.run), Findings()
    damaged = check_records(files, found)
    with _progress(found, hashes.work_of(files), "bytes"):
        hashes.check_hashes(files, found)
    if damaged:
        found.remark(
            f"nothing was derived again from {', '.join(sorted(damaged))}, of which the record is damaged"
        )
    files.set_aside(damaged)
    sample = decisions.Sample(files, found, share=options.share, seed=options.seed)
    with _progress(found, decisions.work_of(files), "rows"):
        decisions.check_decisions(sample)
    if files.has("neighbours", "dedup"):
        with found.guarded(duplicates.WHERE):
            duplicates.check_groups(files, found, share=options.share, seed=options.seed)
    if files.has("balance", "dedup", "balance-survivors"):
        with found.guarded("balance-survivors/selection"):
            sealed.check_options(files, found)
    if files.has("manifest"):
        with found.guarded("manifest"):
            sealed.check_shards(files, found, share=options.share, seed=options.seed)
    return found


@contextmanager
def _progress(found: Findings, total: int, unit: str) -> Iterator[None]:
    """Show how far a part is, by what it tells of its work."""
    done = [0]

    def add(amount: int) -> None:
        done[0] += amount

    quiet: Callable[[int], None] = found.tell
    found.tell = add
    try:
        with watched(lambda: done[0], max(total, 1), unit):
            yield
    finally:
        found.tell = quiet


def _print(found: Findings, options: VerifyOptions, console: Console) -> None:
    for fault in found.faults:
        where = f"[red]fault[/red]  [bold]{escape(visible(fault.where, FAULT_CHARS))}[/bold]"
        line(console, f"{where}  {escape(visible(fault.what, FAULT_CHARS))}", wrap=True)
    for where, number in found.more().items():
        line(console, f"       {escape(where)}: and {number:,} more", wrap=True)
    for remark in found.remarks:
        line(console, f"[dim]note   {escape(visible(remark, FAULT_CHARS))}[/dim]", wrap=True)
    checked = ", ".join(f"{number:,} {what}" for what, number in found.checked.items())
    line(console, f"\nchecked {checked}", wrap=True)
    number = len(found.faults) + sum(found.more().values())
    told = f"[red]{number:,} faults[/red]" if number else "no fault"
    line(console, f"[bold]{escape(str(options.run))}[/bold]: {told}")
