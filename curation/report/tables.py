"""What a stage's record looks like on a terminal: in, out and what was dropped, by reason."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.missed import missed_budgets
from curation.stage import Record


def print_record(record: Record, console: Console) -> None:
    """Print a stage's record: a line that says where it is, then a row a unit, then the budgets that are not met."""
    state = "already done" if record.skipped else f"{record.data['seconds']:.1f} s"
    console.print(
        f"[bold]{record.name}[/bold]  {escape(shown(record.path))}  [dim]{state}[/dim]", highlight=False
    )
    if record.ledgers:
        console.print(ledger_table(record.ledgers))
    for lang, sentence in missed_budgets(record.notes).items():
        console.print(f"[yellow]balance.budget.{escape(lang)}[/yellow]: {escape(sentence)}", highlight=False)


def ledger_table(ledgers: list[dict[str, Any]]) -> Table:
    """Return a table with a row a unit; the reasons stand in the last column, the most frequent first."""
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=True)
    table.add_column("unit")
    for name in ("in", "out", "merged", "dropped"):
        table.add_column(name, justify="right")
    table.add_column("dropped for")
    for ledger in ledgers:
        dropped = sum(ledger["dropped"].values())
        numbers = [f"{value:,}" for value in (ledger["in"], ledger["out"], ledger["merged"], dropped)]
        table.add_row(ledger["unit"], *numbers, reasons_text(ledger["dropped"]))
    return table


def reasons_text(dropped: dict[str, int]) -> str:
    """Return "reason n, reason n, ...", the most frequent first."""
    ordered = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in ordered)


def shown(path: Path) -> str:
    """Return a path as a person reads it: from the working directory, where it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
