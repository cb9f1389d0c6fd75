"""What is known of a run that seals a set, as numbers and names without a language: the card and the Croissant file say it.

In: the records of the finished stages, the files of the manifest's folder, [card]. No alt-text and no address of a picture.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from curation.config import RunConfig
from curation.errors import Reason
from curation.report.facts import threshold, versions
from curation.report.flow import ledger_of
from curation.stage import Record
from metadata.entries import frozen_lists

SHARE_ALIKE_3 = "CC BY-SA 3.0"
SHARE_ALIKE_4 = "CC BY-SA 4.0"
_SOURCE_TERMS = {  # of the sources that lists are built from, by key of [metadata]
    "default": f"{SHARE_ALIKE_4}, metadata/default/LICENSE.default.md",
    "wordnet": "WordNet Release 3.0 licence (Princeton University)",
    "wikipedia": f"{SHARE_ALIKE_4} (Wikimedia)",
    "pageviews": "CC0 1.0 (Wikimedia)",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """How much is left after a step, in all and by language where the step knows it."""

    key: str
    rows: int
    by_lang: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Publication:
    """All that the card and the Croissant file say."""

    title: str
    languages: tuple[str, ...]
    config: RunConfig
    records: Mapping[str, Record]
    steps: list[Step]
    sums: list[dict[str, Any]]
    """A row a stage and unit: stage, unit, in, out, merged, dropped."""
    captions: dict[str, dict[str, int]]
    """By language: train (selected and not), selected, heldout."""
    images: dict[str, int]
    """By split, and their bytes in the shards."""
    thresholds: list[dict[str, str]]
    lists: list[dict[str, Any]]
    options: dict[str, Any]
    """What else of [balance] was set, and changes the selection."""
    modes: dict[str, str]
    """How each language's texts are matched."""
    seed: int
    heldout_share: float
    crawl: str
    """Name of the crawl or pool; empty where the run gave it none."""
    cosine: float | None
    """From which cosine two pictures are near-duplicates."""
    respect_opt_out: bool
    opted_out: int
    removed: dict[str, int]
    """Addresses not fetched; captions and pictures not sealed; pictures kept that are near one that was removed."""
    fetched: tuple[str, str] | None
    """First and last day of the download."""
    terms: list[tuple[str, str]]
    """Sources with their terms, in two keys that the card words."""
    versions: dict[str, str]

    @property
    def manifest(self) -> Record:
        """The sealed manifest."""
        return self.records["manifest"]

    @property
    def korean_by_spaces(self) -> bool:
        """Say whether Korean words with particles were missed, by MetaCLIP 2's rule."""
        return self.modes.get("ko") == "metaclip2"


def publication(config: RunConfig, records: Mapping[str, Record]) -> Publication:
    """Gather what is known of a run whose manifest is sealed."""
    notes = records["manifest"].notes
    languages = tuple(_recorded(records, "manifest", "run.languages", config.run.languages))
    modes = _recorded(records, "match", "mode", config.match.mode)
    return Publication(
        title=config.card.title or config.run.path.resolve().name,
        languages=languages,
        config=config,
        records=records,
        steps=list(_steps(records, languages)),
        sums=[
            {"stage": name} | ledger for name, record in _data(records).items() for ledger in record.ledgers
        ],
        captions={lang: _captions(notes["captions"], lang) for lang in languages},
        images=dict(notes.get("images", {})) | {"bytes": _bytes(records["manifest"].path / "shards")},
        thresholds=list(_thresholds(records, languages)),
        lists=list(_lists(records)),
        modes={lang: modes.get(lang, "metaclip2") for lang in languages},
        seed=_recorded(records, "balance", "run.seed", config.run.seed),
        heldout_share=_recorded(records, "balance", "run.heldout_share", config.run.heldout_share),
        crawl=_recorded(records, "extract", "crawl", None) or "",
        cosine=_recorded(records, "dedup", "threshold", None),
        respect_opt_out=_recorded(records, "download", "respect_opt_out", default=True),
        options=_options(records),
        opted_out=_dropped(records, "download", "urls", Reason.OPTED_OUT),
        removed=_removed(records),
        fetched=_fetched(records),
        terms=list(_terms(config.card.sources, records, modes)),
        versions=versions(_data(records)),
    )


def _recorded(records: Mapping[str, Record], stage: str, key: str, default: Any) -> Any:
    """Return a value of the configuration that a stage was made with: the one given now may be another."""
    return records[stage].data["config"].get(key, default) if stage in records else default


def _data(records: Mapping[str, Record]) -> dict[str, Record]:
    """Return the stages that made the set, not those that used it."""
    return {name: record for name, record in records.items() if name not in {"train", "evaluate", "report"}}


def _steps(records: Mapping[str, Record], languages: tuple[str, ...]) -> Iterator[Step]:
    if links := ledger_of(records, "extract", "candidates"):
        yield Step(key="links", rows=links["in"])
        yield Step(key="pairs", rows=links["out"])
    if named := ledger_of(records, "match", "pairs"):
        rows = records["match"].notes.get("rows", {})
        yield Step(
            key="named",
            rows=named["out"],
            by_lang={k: rows.get(k, 0) + rows.get(f"{k}/mixed", 0) for k in languages},
        )
    if wanted := ledger_of(records, "balance", "pairs"):
        yield Step(key="wanted", rows=wanted["out"])
    if urls := ledger_of(records, "download", "urls"):
        yield Step(key="addresses", rows=urls["in"])
        yield Step(key="pictures", rows=urls["out"])
    if images := ledger_of(records, "manifest", "images"):
        yield Step(key="distinct", rows=images["out"])
    if sealed := ledger_of(records, "manifest", "captions"):
        found = {lang: _captions(records["manifest"].notes["captions"], lang) for lang in languages}
        yield Step(
            key="captions",
            rows=sealed["out"],
            by_lang={k: c["train"] + c["heldout"] for k, c in found.items()},
        )
        for key in ("selected", "heldout"):
            by_lang = {lang: captions[key] for lang, captions in found.items()}
            yield Step(key=key, rows=sum(by_lang.values()), by_lang=by_lang)


def _captions(notes: Mapping[str, int], lang: str) -> dict[str, int]:
    selected = notes.get(f"train/{lang}/selected", 0)
    heldout = sum(notes.get(f"heldout/{lang}/{kind}", 0) for kind in ("selected", "not_selected"))
    return {
        "selected": selected,
        "train": selected + notes.get(f"train/{lang}/not_selected", 0),
        "heldout": heldout,
    }


def _thresholds(records: Mapping[str, Record], languages: tuple[str, ...]) -> Iterator[dict[str, str]]:
    first, second = (
        records[name].notes if name in records else {} for name in ("balance", "balance-survivors")
    )
    for lang in languages:
        if lang in first.get("t", {}):
            before, given = first["t"][lang], lang in first["t_given"]
            margin = float(before) * float(first["margin"])
            after = threshold(second["t"].get(lang)) if "t" in second else "-"
            yield {
                "lang": lang, "t": threshold(before), "with_margin": threshold(margin), "after": after,
                "given": "yes" if given else "",
            }  # fmt: skip


def _lists(records: Mapping[str, Record]) -> Iterator[dict[str, Any]]:
    if "metadata" in records:
        for lang, item in frozen_lists(records["metadata"]).items():
            yield {"lang": lang, "entries": item.size, "sha256": item.sha256}


def _options(records: Mapping[str, Record]) -> dict[str, Any]:
    if "balance-survivors" not in records:
        return {}
    given = records["balance-survivors"].data["config"]
    return {
        key: value
        for key, value in given.items()
        if key not in {"t", "margin"} and not key.startswith("run.")
    }


def _dropped(records: Mapping[str, Record], stage: str, unit: str, reason: Reason) -> int:
    ledger = ledger_of(records, stage, unit)
    return int(ledger["dropped"].get(reason, 0)) if ledger else 0


def _removed(records: Mapping[str, Record]) -> dict[str, int]:
    asked = {
        "addresses": ("download", "urls"),
        "captions": ("manifest", "captions"),
        "pictures": ("manifest", "images"),
    }
    found = {name: _dropped(records, *place, Reason.REMOVED) for name, place in asked.items()}
    return found | {"near": int(records["manifest"].notes.get("removals", {}).get("near_duplicates_kept", 0))}


def _bytes(shards: Path) -> int:
    return sum(path.stat().st_size for path in shards.glob("*.tar"))


def _fetched(records: Mapping[str, Record]) -> tuple[str, str] | None:
    """Return first and last day of the answers, from the statistics in the files' footers; None where they have none."""
    if "download" not in records:
        return None
    days: list[str] = []
    for path in (records["download"].path / "outcomes").glob("*.parquet"):
        footer = pq.read_metadata(path)
        place = footer.schema.names.index("fetched_at")
        for group in range(footer.num_row_groups):
            held = footer.row_group(group).column(place).statistics
            if held is not None and held.has_min_max:
                days += [str(held.min)[:10], str(held.max)[:10]]
    return (min(days), max(days)) if days else None


def _terms(
    said: Mapping[str, str], records: Mapping[str, Record], modes: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield sources and their terms: keys that the card words ("pictures", "pool", "publisher", ...), or texts as they stand.

    said: [card] sources.
    """
    crawl = _recorded(records, "extract", "crawl", None) or "pool"
    yield "pictures", "rights"
    yield crawl, said.get(crawl, "publisher")
    used = _list_sources(records)
    for source in used:
        yield f"entries: {source}", said.get(source, _SOURCE_TERMS.get(source, "publisher"))
    if "match" in records and _recorded(records, "match", "lid_model", None) is None:
        yield "lid.176.ftz (fastText)", SHARE_ALIKE_3
    if "korean" in modes.values():
        yield "korean.json.gz", SHARE_ALIKE_4
    yield from ((name, terms) for name, terms in said.items() if name not in {crawl, *used})


def _list_sources(records: Mapping[str, Record]) -> list[str]:
    """Return where the entry lists come from: "default", "given", or the sources they were built from."""
    if "metadata" not in records:
        return []
    config = records["metadata"].data["config"]
    named = {"default" if name == "default" else "given" for name in config.get("entries", ())}
    built = {name for name in ("wordnet", "wikipedia", "words", "pageviews") if config.get(name)}
    return sorted(named or built or {"default"})
