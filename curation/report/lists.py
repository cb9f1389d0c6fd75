"""How entries and their lists are named on the command line and shown: shared by `curate metadata show` and `diff`."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from curation.config import RunConfig, RunSection
from curation.config_metadata import DEFAULT_LISTS
from curation.errors import InputError
from curation.stage import RECORD, TAKEN, locate
from metadata.default import default_path
from metadata.lookup import Listed, Lists, Sources, read_lists

STAGE = "metadata"
SHOWN_CHARS = 60  # of an entry; lists allow 256


def lists_at(place: Path) -> Lists:
    """Return the lists of a place that a person names; `default` names the package's own. Raises InputError."""
    if place == Path(DEFAULT_LISTS) and not place.exists():
        with default_path() as path:
            return read_lists(path)
    return read_lists(stage_of(place))


def stage_of(place: Path) -> Path:
    """Return what `read_lists` reads for a place that a person names: a run's own or its parent's stage, or a file."""
    if (place / STAGE / RECORD).is_file() or (place / STAGE / TAKEN).is_file():
        return locate(RunConfig(run=RunSection(path=place)), STAGE)
    if place.is_dir() and not (place / "entries").is_dir():
        raise InputError(
            f"{place} holds no finished stage {STAGE!r}; run 'curate metadata --path {place}' first, "
            f"or give a Parquet file of entries or LANG.txt"
        )
    return place


def quoted(entry: str) -> str:
    """Return an entry as a terminal may show it: printable, bounded, in quotes where its ends would not be seen."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in entry[:SHOWN_CHARS])
    text += "..." if len(entry) > SHOWN_CHARS else ""
    return text if text.strip() == text and "," not in text else f'"{text}"'


def sources_text(sources: Sources) -> str:
    """Return "unigram 1,234, title 98" of the sources and their scores."""
    if not sources:
        return "given"
    return ", ".join(name if score is None else f"{name} {number_text(score)}" for name, score in sources)


def number_text(score: float) -> str:
    """Return a count without a fraction, any other number with two digits."""
    return f"{score:,.0f}" if float(score).is_integer() else f"{score:,.2f}"


def listed_json(item: Listed) -> dict[str, Any]:
    """Return an entry as a program reads it."""
    sources = [{"source": name, "score": score} for name, score in item.sources]
    return {"lang": item.lang, "entry_id": item.entry_id, "entry": item.entry, "sources": sources}


def new_table(*heads: str, right: tuple[str, ...] = ()) -> Table:
    """Return an empty table in the house's form, with these heads; those of `right` are numbers."""
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=True)
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    return table


def line(console: Console, text: str, *, wrap: bool = False) -> None:
    """Print a line of markup, folded at words only where it is asked for."""
    console.print(text, highlight=False, soft_wrap=not wrap)
