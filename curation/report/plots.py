"""The report's curves as inline SVG. English and numbers stand in them as text; entries are drawn as outlines, see `fonts`.

Small on purpose (about 440 px wide, letters of 10 px): two stand side by side on a screen, one on a phone.
"""

# E entries

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curation.extras import missing
from curation.report import fonts
from curation.report.scan import Ints

WIDTH, HEIGHT = 4.6, 2.9  # inches of 96 px
MARGINS = {
    "left": 0.165,
    "right": 0.97,
    "bottom": 0.15,
    "top": 0.91,
}  # fixed: to fit them takes matplotlib as long as to draw
POINTS = 300  # of a curve over entries: more cannot be seen
INK, ACCENT, WARM, PALE, GREY = "#1b2733", "#0b6e99", "#c8553d", "#9fb8c6", "#8a939b"
# By language, in the run's order: told apart by readers of any colour vision, by their lightness too, and by their dashes in black and white.
COLOURS = (ACCENT, WARM, "#d9a441", "#7d5ba6")
DASHES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 8.0, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7,
    "xtick.minor.width": 0.4, "ytick.minor.width": 0.4, "lines.linewidth": 1.4, "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e6eaed", "grid.linewidth": 0.6,
}  # fmt: skip


def new_axes() -> Any:
    """Return the axes of a new figure in the report's style. Raises MissingExtraError without matplotlib."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing("drawing the report's curves", "matplotlib") from error
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        figure.subplots_adjust(**MARGINS)
        return figure.add_subplot()


def svg_of(axes: Any, name: str) -> str:
    """Return the axes' figure as an SVG element to stand in HTML; name: makes the ids its own on a page."""
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": name, "svg.id": name}):
        axes.figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return re.sub(
        r' id="((?:figure|axes|patch|matplotlib\.axis|xtick|ytick|line2d|text|legend)_\d+)"', "", text
    )


def cumulative(counts: Ints, thresholds: Sequence[float]) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Return, a threshold, the curve of MetaCLIP's figure: entries from tail to head, and the sum of min(count, t) up to each.

    counts: int64 (E,); entries without a match are left out. At most POINTS points a curve.
    """
    present = np.sort(counts[counts > 0])
    places = np.unique(np.linspace(0, max(present.size - 1, 0), POINTS).astype(np.int64))[: present.size]
    return [(t, places + 1, np.cumsum(np.minimum(present, t))[places]) for t in thresholds]


def shown_thresholds(counts: Ints, t: float | None) -> list[float]:
    """Return the thresholds worth a curve: infinity, and of 10 t, t and t / 10 those that cut something."""
    largest = counts.max(initial=0)
    given = [] if t is None or np.isinf(t) else [10 * t, t, t / 10]
    return [np.inf, *(value for value in given if value < largest)]


def cumulative_plot(counts: Ints, t: float | None, lang: str) -> str:
    """Plot the cumulative counts over entries sorted by count, at several thresholds."""
    axes = new_axes()
    for value, x, y in cumulative(counts, shown_thresholds(counts, t)):
        ours = value == t or (t is None and np.isinf(value))
        colour = ACCENT if ours else INK if np.isinf(value) else PALE
        axes.plot(
            x,
            y,
            color=colour,
            linewidth=2.0 if ours else 1.2,
            linestyle="-" if ours or np.isinf(value) else "--",
        )
        name = "t = inf" if np.isinf(value) else f"t = {value:,.4g}"
        if len(x):
            ink = INK if colour == PALE else colour
            axes.annotate(
                name, (x[-1], y[-1]), (5, 0), textcoords="offset points", color=ink, va="center", fontsize=7.5
            )
    axes.margins(x=0.02)
    axes.set_xlim(right=max(axes.get_xlim()[1] * 1.16, 1))
    axes.set(xlabel="entries with a match, from tail to head", ylabel="cumulative matches", ylim=(0, None))
    _thousands(axes, "x", "y")
    return svg_of(axes, f"cumulative-{lang}")


def rank_points(counts: Ints) -> tuple[np.ndarray, np.ndarray]:
    """Return ranks from 1 and the counts at them, largest first, at most POINTS of them and evenly spread in the logarithm."""
    ordered = np.sort(counts[counts > 0])[::-1]
    if not ordered.size:
        return np.empty(0), np.empty(0)
    places = np.unique(np.geomspace(1, ordered.size, POINTS).astype(np.int64)) - 1
    return places + 1, ordered[places]


def rank_plot(
    pool: Ints, selected: Ints | None, t: float | None, lang: str, named: Mapping[int, str] | None = None
) -> str:
    """Plot counts over their rank, both in logarithms: Zipf's line, where t cuts it, and what was selected.

    named: entries to write beside the pool's curve, by rank from 1; those that cannot be drawn are left out.
    """
    axes = new_axes()
    axes.loglog(*rank_points(pool), color=INK, label="pool")
    if selected is not None:
        axes.loglog(*rank_points(selected), color=WARM, linestyle="--", label="selected captions")
    ordered = np.sort(pool)[::-1]
    for rank, text in (named or {}).items():
        write_entry(axes, (rank, int(ordered[rank - 1])), text)
    if t is not None and np.isfinite(t):
        axes.axhline(t, color=ACCENT, linewidth=1.0, linestyle=":", label=f"t = {t:,.4g}")
    axes.set(xlabel="rank of the entry", ylabel="matches")
    _thousands(axes, "x", "y")
    axes.legend(loc="upper right", frameon=False, fontsize=7.5)
    return svg_of(axes, f"rank-{lang}")


def write_entry(axes: Any, point: tuple[float, float], text: str) -> None:
    """Write an entry beside a point and mark it, as outlines of a font that has its letters; nothing where none has."""
    font = fonts.font_for(text) if fonts.is_drawable(text) else None
    if font is None:
        return
    from matplotlib.font_manager import FontProperties
    from matplotlib.patheffects import withStroke

    axes.plot(*point, marker="o", markersize=3, color=INK)
    axes.annotate(
        text, point, (4, 3), textcoords="offset points", color=INK, parse_math=False,
        fontproperties=FontProperties(fname=str(font), size=8), path_effects=[withStroke(linewidth=2, foreground="white")],
    )  # fmt: skip


def histogram_plot(pool: Ints, selected: Ints | None, lang: str) -> str:
    """Plot the share of texts by their number of matches, of the pool as bars and of the selection as a line.

    pool, selected: int64 (B,), texts with 0, 1, 2, ... matches; the last bar holds those with more. Bar 0 is left out.
    """
    axes = new_axes()
    places = np.arange(1, pool.size)
    axes.bar(places, 100 * pool[1:] / max(1, pool.sum()), width=0.8, color=PALE, label="pool")
    if selected is not None and selected.any():
        share = 100 * selected[1:] / selected.sum()
        axes.plot(
            places, share, color=WARM, marker="o", markersize=3, linewidth=1.0, label="selected captions"
        )
    ticks = [place for place in (1, 5, 10, 15) if place < pool.size - 1]
    axes.set_xticks([*ticks, pool.size - 1], [*map(str, ticks), f"{pool.size - 1}+"])
    axes.set(xlabel="entries that a text names", ylabel="% of texts")
    axes.grid(visible=False, axis="x")
    _legend_above(axes)
    return svg_of(axes, f"matches-{lang}")


def chance_plot(kept: np.ndarray, lost: np.ndarray, name: str, what: str) -> str:
    """Plot pairs by their chance as stacked bars, kept below and not kept above; those of chance 1 are left to the text.

    kept, lost: float64 (B + 1,), bars of equal width in [0, 1), then those of exactly 1.
    """
    axes = new_axes()
    bars = kept.size - 1
    places = (np.arange(bars) + 0.5) / bars
    axes.bar(places, kept[:-1], width=0.8 / bars, color=ACCENT, label="kept")
    axes.bar(
        places, lost[:-1], width=0.8 / bars, bottom=kept[:-1], color="white", edgecolor=WARM, linewidth=0.8, hatch="////",
        label="not kept",
    )  # fmt: skip
    axes.set(xlabel="keep probability, those of 1 left out", ylabel=what, xlim=(0, 1))
    axes.grid(visible=False, axis="x")
    _thousands(axes, "y")
    _legend_above(axes)
    return svg_of(axes, f"chance-{name}")


def loss_plot(metrics: Sequence[Mapping[str, float]], languages: Sequence[str]) -> str:
    """Plot the loss over the steps, over all pairs and by language."""
    axes = new_axes()
    named = {"loss": (INK, "-", "all pairs")} | {
        f"loss_{lang}": (COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)], lang)
        for i, lang in enumerate(languages)
    }
    for key, (colour, dash, label) in named.items():
        points = [(line["step"], line[key]) for line in thinned(metrics) if key in line]
        width = 1.8 if key == "loss" else 1.0
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=dash, label=label, linewidth=width)
    axes.set(xlabel="step", ylabel="contrastive loss", ylim=(0, None))
    _thousands(axes, "x")
    axes.legend(loc="upper right", frameon=False, fontsize=7.5)
    return svg_of(axes, "loss")


def thinned(lines: Sequence[Mapping[str, float]]) -> Sequence[Mapping[str, float]]:
    """Return at most POINTS of the lines, evenly spread, with the last."""
    if len(lines) <= POINTS:
        return lines
    return [lines[i] for i in np.unique(np.linspace(0, len(lines) - 1, POINTS).astype(np.int64))]


def _legend_above(axes: Any) -> None:
    """Put the legend above the bars, bars named before lines."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: (not hasattr(handles[i], "patches"), i))
    axes.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2,
        frameon=False, fontsize=7.5, borderaxespad=0.2,
    )  # fmt: skip


def _thousands(axes: Any, *names: str) -> None:
    """Write ticks as whole numbers with separators, millions and more in short, small fractions as they are; none between them."""
    for name in names:
        getattr(axes, f"{name}axis").set_minor_formatter("")
        getattr(axes, f"{name}axis").set_major_formatter(lambda value, _: short_number(value))


def short_number(value: float) -> str:
    """Return a number as at most seven letters: 0.5, 170,000, 2.5M, 12B."""
    for letter, unit in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if value >= unit:
            return f"{value / unit:,.4g}{letter}"
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"
