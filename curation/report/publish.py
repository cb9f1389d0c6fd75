"""What is written beside the report of a run that has sealed a set: the data card in two languages, and Croissant."""

from collections.abc import Mapping
from typing import Any

from curation.canonical import as_record
from curation.config import RunConfig
from curation.report.card import LANGUAGES, card, card_name
from curation.report.croissant import CROISSANT, croissant
from curation.report.publication import publication
from curation.stage import Record


def pages(config: RunConfig, records: Mapping[str, Record]) -> dict[str, str]:
    """Return the files by name; none where no manifest is sealed. Raises MissingExtraError."""
    if "manifest" not in records:
        return {}
    found = publication(config, records)
    return {card_name(lang): card(found, lang) for lang in LANGUAGES} | {CROISSANT: croissant(found)}


def external(config: RunConfig) -> list[dict[str, Any]]:
    """Return what the report's identity keeps of [card]: nothing where nothing is said."""
    said = as_record(config.card)
    return [{"path": "card", "said": said}] if said else []
