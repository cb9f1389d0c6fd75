"""What a search costs: comparisons of vectors, counted before it begins, and about how long they take."""

import numpy as np

from curation.config_dedup import Device, NeighboursSection
from curation.dedup.cells import Visits
from curation.errors import ConfigError

# Multiplications a second of a core or a GPU, of the whole search but the cosines of its pairs. A core of the machine of
# benchmarks/results/dedup.json does 1e10 to 2e10. No GPU was at hand: its figure is an assumption, a tenth of what float32 products
# reach on a card of 2022 or later.
PRODUCTS_PER_SECOND: dict[str, float] = {"cpu": 1e10, "cuda": 4e12}
LOOKS_PER_SECOND = 1_000.0
"""Second looks of a core. Measured: 1,016; 410 to 470 where the other core ran another search."""
ASSUMED = frozenset({"cuda"})
"""Devices whose rate was never measured: who is told a duration is told so."""


def expected_comparisons(visits: Visits, num_cells: int, vectors: int, queries: int) -> float:
    """Return about how many comparisons a search makes, from homes and visits of a sample of its vectors."""
    if not len(visits.home):
        return 0.0
    at_home = np.bincount(visits.home, minlength=num_cells) / len(visits.home)
    visiting = np.bincount(visits.cells, minlength=num_cells) / len(visits.home)
    return float(at_home @ visiting) * vectors * queries


def seconds(comparisons: float, dimension: int, device: Device, workers: int) -> float:
    """Return about how long so many comparisons take on so many cores or GPUs."""
    return comparisons * dimension / PRODUCTS_PER_SECOND[device] / workers


def as_text(duration: float) -> str:
    """Return a duration in seconds as a person says it."""
    if duration < 90:
        return f"{max(1, round(duration))} s"
    return f"{duration / 60:.0f} min" if duration < 5400 else f"{duration / 3600:.0f} h"


def refuse_too_many(comparisons: float, section: NeighboursSection) -> None:
    """Raise ConfigError for more comparisons than neighbours.max_comparisons."""
    if comparisons <= section.max_comparisons:
        return
    cheaper = {
        "probe": "take fewer rows_per_cell or a smaller probe",
        "bound": "take a higher floor, or mode probe, whose recall is measured",
        "exhaustive": "take mode probe, whose recall is measured",
    }
    raise ConfigError(
        f"mode {section.mode} at cosine {section.floor} leads to about {comparisons:.2g} comparisons of vectors, and "
        f"neighbours.max_comparisons is {section.max_comparisons:.2g}: raise it, or {cheaper[section.mode]}"
    )
