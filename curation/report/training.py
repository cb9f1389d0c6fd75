"""What training and evaluation found, as the page shows it. Reads metrics.jsonl (train) and the notes of evaluate's record."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.stage import Record

DIRECTIONS = {"image_to_text": "image to text", "text_to_image": "text to image"}
RANKS = ("R@1", "R@5", "R@10")
METRICS = "metrics.jsonl"


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the lines of a metrics file; of a step that stands twice, after a resume, the later. An unfinished line is left out."""
    found: dict[int, dict[str, float]] = {}
    if not path.is_file():
        return []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            read = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(read, dict) and "step" in read:
            found[int(read["step"])] = read
    return [found[step] for step in sorted(found)]


def retrieval_rows(
    found: Mapping[str, Any], other: Mapping[str, Any] | None, languages: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a row a direction and rank: recall, chance and the other run's recall by language, and the gap of two languages.

    found, other: notes of evaluate. A language that was not asked has None.
    """
    rows = []
    for way, words in DIRECTIONS.items():
        for rank in RANKS:
            values = [_recall(found, lang, way, rank) for lang in languages]
            rows.append({
                "direction": words, "rank": rank, "values": values, "gap": gap(values), "chance": [
                    _recall(found, lang, way, rank, chance=True) for lang in languages
                ], "other": [_recall(other, lang, way, rank) for lang in languages] if other else [],
            })  # fmt: skip
    return rows


def _recall(
    found: Mapping[str, Any], lang: str, way: str, rank: str, *, chance: bool = False
) -> float | None:
    asked = found["retrieval"].get(lang)
    if asked is None:
        return None
    return float((asked["chance"] if chance else asked)[way][rank])


def gap(values: Sequence[float | None]) -> float | None:
    """Return the first of two values minus the second; None where there are not two."""
    if len(values) != 2 or values[0] is None or values[1] is None:
        return None
    return values[0] - values[1]


def zero_shot_rows(
    found: Mapping[str, Any], other: Mapping[str, Any] | None, languages: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a row a set of classes: accuracy by language, gap, chance, pictures and classes, the other run's accuracy."""
    rows = []
    for name, by_lang in found.get("zero_shot", {}).items():
        asked = next(iter(by_lang.values()), None)
        if asked is None:
            continue
        values = [by_lang.get(lang, {}).get("accuracy") for lang in languages]
        theirs = other.get("zero_shot", {}).get(name, {}) if other else {}
        rows.append({
            "name": name, "items": asked["items"], "classes": asked["classes"], "chance": asked["chance"],
            "values": values, "gap": gap(values),
            "other": [theirs.get(lang, {}).get("accuracy") for lang in languages] if other else [],
        })  # fmt: skip
    return rows


def mean_recall(found: Mapping[str, Any], lang: str, rank: str, *, chance: bool = False) -> float | None:
    """Return a language's recall averaged over both directions; None where it was not asked."""
    values = [_recall(found, lang, way, rank, chance=chance) for way in DIRECTIONS]
    return None if values[0] is None else sum(value or 0.0 for value in values) / len(values)


def spread(found: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    """Return, a language, its held-out captions and the half width of a 95 % interval of a recall of one half.

    Of the choice of questions alone, by the normal approximation of the binomial; captions of one picture are not independent.
    """
    return [
        (lang, asked["items"], 1.96 * math.sqrt(0.25 / max(1, asked["items"])))
        for lang, asked in found["retrieval"].items()
    ]


def summary_of(train: Record) -> dict[str, Any]:
    """Return what the page says of a training: the sizes that were set and what the trainer noted as plain numbers or words."""
    settings = train.data.get("settings", {})
    names = ("image_size", "patch_size", "width", "layers", "batch_size", "steps", "lr", "seed", "vocab_size")
    return {name.replace("_", " "): settings[name] for name in names if name in settings}
