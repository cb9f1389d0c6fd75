"""The report's curves as inline SVG. English and numbers alone stand in them: Hangul stays in the page's own text.

Small on purpose (about 440 px wide, letters of 10 px): two stand side by side on a screen, one on a phone.
"""

# E entries

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curation.errors import MissingExtraError
from curation.report.scan import Ints

WIDTH, HEIGHT = 4.6, 2.9  # inches of 96 px
POINTS = 300  # of a curve over entries: more cannot be seen
INK, ACCENT, WARM, PALE, GREY = "#1b2733", "#0b6e99", "#c8553d", "#9fb8c6", "#8a939b"
COLOURS = (ACCENT, WARM, "#5b8c5a", "#7d5ba6")  # by language, in the run's order
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 8.0, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7,
    "xtick.minor.width": 0.4, "ytick.minor.width": 0.4, "lines.linewidth": 1.4, "axes.grid": True, "grid.color": "#e6eaed", "grid.linewidth": 0.6,
}  # fmt: skip


def new_axes() -> Any:
    """Return the axes of a new figure in the report's style. Raises MissingExtraError without matplotlib."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the report's curves need matplotlib: pip install 'bicurate[report]'"
        ) from error
    with mpl.rc_context(STYLE):
        return Figure(figsize=(WIDTH, HEIGHT), layout="constrained").add_subplot()


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


def rank_plot(pool: Ints, selected: Ints | None, t: float | None, lang: str) -> str:
    """Plot counts over their rank, both in logarithms: Zipf's line, where t cuts it, and what was selected."""
    axes = new_axes()
    axes.loglog(*rank_points(pool), color=INK, label="pool")
    if selected is not None:
        axes.loglog(*rank_points(selected), color=WARM, label="selected captions")
    if t is not None and np.isfinite(t):
        axes.axhline(t, color=ACCENT, linewidth=1.0, linestyle="--", label=f"t = {t:,.4g}")
    axes.set(xlabel="rank of the entry", ylabel="matches")
    _thousands(axes, "x", "y")
    axes.legend(loc="upper right", frameon=False, fontsize=7.5)
    return svg_of(axes, f"rank-{lang}")


def loss_plot(metrics: Sequence[Mapping[str, float]], languages: Sequence[str]) -> str:
    """Plot the loss over the steps, over all pairs and by language."""
    axes = new_axes()
    named = {"loss": (INK, "all pairs")} | {
        f"loss_{lang}": (COLOURS[i % len(COLOURS)], lang) for i, lang in enumerate(languages)
    }
    for key, (colour, label) in named.items():
        points = [(line["step"], line[key]) for line in thinned(metrics) if key in line]
        if points:
            axes.plot(
                *zip(*points, strict=True), color=colour, label=label, linewidth=1.8 if key == "loss" else 1.0
            )
    axes.set(xlabel="step", ylabel="contrastive loss", ylim=(0, None))
    _thousands(axes, "x")
    axes.legend(loc="upper right", frameon=False, fontsize=7.5)
    return svg_of(axes, "loss")


def thinned(lines: Sequence[Mapping[str, float]]) -> Sequence[Mapping[str, float]]:
    """Return at most POINTS of the lines, evenly spread, with the last."""
    if len(lines) <= POINTS:
        return lines
    return [lines[i] for i in np.unique(np.linspace(0, len(lines) - 1, POINTS).astype(np.int64))]


def _thousands(axes: Any, *names: str) -> None:
    """Write ticks as whole numbers with separators, small fractions as they are."""
    for name in names:
        axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(
            lambda value, _: f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"
        )
