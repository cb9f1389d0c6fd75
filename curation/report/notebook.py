"""What every notebook begins with: the run to look at, the style of its figures, and samples of its tables. For `notebooks/`."""

# N rows

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from curation import pipeline
from curation.config import RunConfig, RunSection
from curation.errors import StageError
from curation.ids import coins
from curation.removal_files import load_removals
from curation.report import fonts
from curation.report.gone import NOTHING, TEXTS, Gone, gone_of, with_keys, withhold
from curation.report.plots import ACCENT, COLOURS, GREY, INK
from curation.report.scan import batches, rows_of
from curation.report.visible import visible
from curation.stage import Record
from metadata.entries import frozen_lists, read_list

RUN = "BICURATE_RUN"  # the environment variable that names another run
DEMO = Path("../runs/demo")  # from the folder of the notebooks
REMOVALS = "BICURATE_REMOVALS"  # that of removal lists, as in `[run] removals`, with ":" between them
DRAWN = "notebook"  # the purpose of the coin that draws rows
TEXT_CHARS = 90  # of a text in a table


def open_run(*stages: str) -> dict[str, Record]:
    """Return the finished stages' records of the run that BICURATE_RUN names, else of the demo's, and print which it is.

    stages: those that the notebook cannot do without. Raises StageError where one of them is missing.
    """
    path = Path(os.environ.get(RUN) or DEMO)
    records = pipeline.finished(RunConfig(run=RunSection(path=path)))
    missing = [name for name in stages if name not in records]
    if missing:
        raise StageError(
            f"{path} has no finished {', '.join(missing)}: run 'curate demo' first, or set {RUN} to a run's directory"
        )
    print(f"run {path.resolve().name}: {', '.join(records)}")
    return records


def gone_at(run: Path, image_ids: Sequence[str] | None = None) -> Gone:
    """Return what must not be shown of a run, and of the one that BICURATE_RUN names: of some pictures, or of all.

    It is what the seal left out, and what the lists of BICURATE_REMOVALS name.
    """
    listed = [part for part in os.environ.get(REMOVALS, "").split(os.pathsep) if part]
    return gone_of((run, Path(os.environ.get(RUN) or DEMO)), load_removals(listed), image_ids)


def languages_of(records: dict[str, Record]) -> dict[str, str]:
    """Return the run's languages, each with the colour that it has in all figures."""
    return dict(zip(frozen_lists(records["metadata"]), COLOURS, strict=False))


def entries_of(records: dict[str, Record]) -> dict[str, list[str]]:
    """Return the frozen list of each language; an entry's place in it is its id."""
    lists = frozen_lists(records["metadata"])
    return {lang: read_list(item.path, item.sha256) for lang, item in lists.items()}


def set_style() -> None:
    """Let figures be drawn like the report's, Hangul with a font that has it; print a line where this machine has none."""
    import matplotlib as mpl
    from matplotlib.font_manager import fontManager
    from matplotlib.rcsetup import cycler

    file, hangul = fonts.font_for(fonts.HANGUL), fonts.hangul_font()
    if file is not None:
        fontManager.addfont(str(file))  # matplotlib's own list may be older than the font
    mpl.rcParams.update({
        "figure.dpi": 80, "figure.constrained_layout.use": True, "savefig.dpi": 80,
        "font.family": ["DejaVu Sans", *([] if hangul is None else [hangul])], "font.size": 9.5,
        "axes.unicode_minus": False,  "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
        "axes.grid": True, "grid.color": "#e6eaed", "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False,
        "axes.prop_cycle": cycler(color=[ACCENT, *COLOURS[1:]]),
    })  # fmt: skip
    pd.set_option("display.max_colwidth", TEXT_CHARS + 10)
    pd.set_option("display.max_rows", 60)
    pd.set_option("display.precision", 4)
    warnings.filterwarnings(
        "error", "Glyph .* missing"
    )  # a box instead of a letter is a mistake, never a figure
    if hangul is None:
        print("No font of this machine has Hangul: Korean entries stand in the tables, not in the figures.")


def label(text: str, chars: int = 24) -> str:
    """Return a text fit to stand in a figure: one line, cut to a length; "?" where the fonts of the figures lack a letter."""
    shown = visible(text, chars)
    drawable = fonts.is_drawable(shown) and _has_letters(shown)
    return shown.replace("$", r"\$") if drawable else "?"  # two dollars would be a formula


def _has_letters(text: str) -> bool:
    """Say whether the fonts of the style have every letter of a text between them."""
    import matplotlib as mpl
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    found: set[int] = set()
    for family in mpl.rcParams["font.family"]:
        found |= FT2Font(fontManager.findfont(family)).get_charmap().keys()
    return set(map(ord, text)) <= found


def drawn(
    table: Path, columns: Sequence[str], number: int, *, key: str = "pair_id", seed: int = 0
) -> pd.DataFrame:
    """Return about `number` rows of a table's directory, sorted by `key`: all of a smaller one, else those of the smallest coins.

    Rows of equal keys come together or not at all. `attrs["share"]` of the frame is the share that was drawn. Of a removed pair
    the row stays, so that numbers are those of the table, and its texts are `gone.WITHHELD`.
    """
    share = min(1.0, number / max(1, rows_of(table)))
    names = list(dict.fromkeys([key, *columns]))
    parts = [pa.table({name: pa.array([], pa.string()) for name in names}).to_pandas()]
    gone = gone_at(table.parent.parent) if set(names) & set(TEXTS) else NOTHING
    asked = list(dict.fromkeys([*names, *with_keys(table)])) if gone else names
    for batch in batches(table, asked):
        some = batch
        if share < 1:
            some = batch.filter(pa.array(coins(batch.column(key).to_pylist(), seed, DRAWN) < share))
        parts.append(withhold(some, gone).select(names).to_pandas())
    filled = [part for part in parts if len(part)] or parts[:1]
    frame: pd.DataFrame = pd.concat(filled, ignore_index=True).sort_values(
        key, kind="stable", ignore_index=True
    )
    frame.attrs["share"] = share
    return frame


def some_of(frame: pd.DataFrame, number: int, *, key: str = "pair_id", seed: int = 0) -> pd.DataFrame:
    """Return `number` of a frame's rows, those of the smallest coins of their keys: the same ones each time."""
    order = np.argsort(coins(frame[key].tolist(), seed, "notebook-rows"), kind="stable")
    return frame.iloc[order[:number]]


def as_table(rows: Any, **columns: str) -> pd.DataFrame:
    """Return a frame to show: texts made visible and cut, columns renamed, no numbers of rows before it."""
    frame = pd.DataFrame(rows).rename(columns=columns)
    for name in frame.columns:
        if frame[name].dtype == object:
            frame[name] = [visible(x, TEXT_CHARS) if isinstance(x, str) else x for x in frame[name]]
    frame.index = pd.Index([""] * len(frame))
    return frame
