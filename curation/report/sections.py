"""What the page shows, gathered a section at a time: each function returns what one template reads. Writes nothing."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from curation import pipeline
from curation.config import RunConfig
from curation.removals import NO_REMOVALS, Removals
from curation.report import (
    domains,
    duplicates,
    facts,
    flow,
    fonts,
    languages,
    pairs,
    plots,
    search,
    sizes,
    training,
)
from curation.report.entries import (
    EntryCounts,
    by_source,
    entry_counts,
    examples,
    overview,
    shares,
    sources_of,
    texts_of,
)
from curation.report.gone import gone_of
from curation.report.visible import visible
from curation.stage import Record

Records = Mapping[str, Record]
NAMED_RANKS = (1, 10, 100, 1000)  # entries that are written beside the curve of counts
NAME_CHARS = 16
DOMAINS = 20
REPORT = "report"
# Options of a balance beyond the coin: with them a selection is not a toss a pair, and has no expectation of that kind.
CAPS = ("one_caption", "max_per_image", "max_per_domain")


def gather(
    config: RunConfig, records: Records, other: Record | None, removals: Removals = NO_REMOVALS
) -> dict[str, Any]:
    """Return the template's variables. other: the evaluation of a run to compare with. removals: what must not be shown."""
    with ThreadPoolExecutor(
        1
    ) as pool:  # the one long scan runs beside the others: Arrow works outside of Python's lock
        hosts = pool.submit(domains.domains, records, DOMAINS)
        found = _gathered(config, records, other, removals)
        return found | {"domains": hosts.result()}


def _gathered(
    config: RunConfig, records: Records, other: Record | None, removals: Removals
) -> dict[str, Any]:
    """Return all but the domains."""
    langs = config.run.languages
    counts = entry_counts(records, langs)
    by_language = _languages(config, records)
    return {
        "about": _about(config, records, counts), "languages": by_language, "stages": flow.stage_rows(records),
        "costs": flow.costs(records), "captions": flow.caption_flow(records, langs), "pictures": flow.picture_flow(records),
        "entries": [_entries_of(config, records["metadata"], each) for each in counts.values()],
        "hangul_font": fonts.hangul_font() if counts else None,
        "matches": _matches(config, records), "chances": _chances(records),
        "sizes": sizes.sizes(records),
        "duplicates": _duplicates(config, records, removals), "training": _training(config, records, other),
        "sources": _sources(config, records),
    }  # fmt: skip


def _about(config: RunConfig, records: Records, counts: Mapping[str, EntryCounts]) -> dict[str, Any]:
    langs = config.run.languages
    return {
        "name": config.run.path.resolve().name, "languages": langs, "seed": config.run.seed,
        "heldout_share": config.run.heldout_share, "parent": config.run.parent and config.run.parent.resolve().name,
        "headline": facts.headline(records, langs), "thresholds": facts.thresholds(records, langs),
        "missed": facts.missed(records),
        "balance": records["balance"].notes if "balance" in records else None, "lists": facts.lists(config, records),
        "versions": facts.versions(records),
        "absent": [name for name in pipeline.STAGES if name not in records and name != REPORT],
        "limits": facts.limits(config, records, counts),
    }  # fmt: skip


def _languages(config: RunConfig, records: Records) -> dict[str, Any]:
    """Return the table of shares, the alarms, and what was dropped for its language."""
    langs, factor = config.run.languages, config.report.language_alarm
    found = languages.steps(records, langs)
    matched = flow.ledger_of(records, "match", "pairs")
    return {
        "steps": languages.table(found, langs), "alarms": languages.alarms(found, langs, factor), "factor": factor,
        "dropped": {name: matched["dropped"].get(name, 0) for name in ("no_language", "other_language")} if matched else None,
        "read": matched["in"] if matched else None,
    }  # fmt: skip


def _entries_of(config: RunConfig, metadata: Record, counts: EntryCounts) -> dict[str, Any]:
    shown = examples(metadata, counts, config.report.max_entries, config.run.seed)
    largest = counts.largest(NAMED_RANKS[-1])
    texts = texts_of(
        metadata, counts.lang, [largest[rank - 1] for rank in NAMED_RANKS if rank <= len(largest)]
    )
    named = {rank: visible(text, NAME_CHARS) for rank, text in zip(NAMED_RANKS, texts, strict=False)}
    drawn = {rank: text for rank, text in named.items() if fonts.is_drawable(text) and fonts.font_for(text)}
    return {
        "lang": counts.lang, "t": facts.threshold(counts.t), "overview": overview(counts), "shares": shares(counts),
        "examples": shown,
        "sources": by_source(counts, sources_of(metadata, counts.lang, counts.pool.size)), "named": named, "drawn": drawn,
        "cumulative": _svg(plots.cumulative_plot(counts.pool, counts.t, counts.lang)),
        "rank": _svg(plots.rank_plot(counts.pool, counts.selected, counts.t, counts.lang, drawn)),
    }  # fmt: skip


def _matches(config: RunConfig, records: Records) -> list[dict[str, Any]]:
    """Return a row a language that has matches, of the pool and, where it is sealed, of the selection."""
    found = pairs.matches_a_text(records, config.run.languages)
    rows = []
    for lang, pool in found.get("pool", {}).items():
        selected = found["selected"][lang] if "selected" in found else None
        plot = plots.histogram_plot(pool.texts, selected.texts if selected else None, lang)
        parts = [("the pool", pool), ("selected captions", selected)]
        rows.append(
            {"lang": lang, "plot": _svg(plot), "rows": [(name, part) for name, part in parts if part]}
        )
    return [row for row in rows if row["rows"][0][1].total]


def _chances(records: Records) -> list[dict[str, Any]]:
    """Return the two balances: their chances, and how the number kept lies to its expectation."""
    rows = []
    if "balance" in records:
        balance = records["balance"]
        found = pairs.wanted_chances(balance)
        plot = plots.chance_plot(found.kept, found.lost, "wanted", "pairs")
        held = balance.notes.get("held_out_pairs")
        rows.append({
            "name": "before the download", "found": found, "plot": _svg(plot), "held": held,
            "toss": pairs.expectation(found, balance.notes.get("expected_pairs")),
        })  # fmt: skip
    if {"manifest", "balance-survivors"} <= set(records):
        second = records["balance-survivors"]
        found = pairs.survivor_chances(records["manifest"])
        plot = plots.chance_plot(found.kept, found.lost, "selected", "captions")
        capped = any(second.data["config"].get(name) for name in CAPS)
        rows.append({
            "name": "among the survivors", "found": found, "plot": _svg(plot), "held": None,
            "toss": None if capped else pairs.expectation(found, second.notes.get("expected_pairs")),
        })  # fmt: skip
    return rows


def _duplicates(config: RunConfig, records: Records, removals: Removals) -> dict[str, Any] | None:
    if "dedup" not in records:
        return None
    dedup, number = records["dedup"], config.report.max_examples
    a_size = min(duplicates.A_SIZE, number)
    found, largest = duplicates.families(dedup, number, a_size=a_size, seed=config.run.seed)
    every = {f.image_id: f for f in (*(f for size in found for f in size.examples), *largest)}
    members = [image_id for family in every.values() for image_id, _, _ in family.members]
    sealed = (records["manifest"].path.parent,) if "manifest" in records else ()
    gone = gone_of(sealed, removals, [*every, *members])
    duplicates.add_captions(dedup, list(every.values()), gone)
    shown = {key: family for key, family in every.items() if not duplicates.is_gone(family, gone)}
    if "download" in records:
        duplicates.add_thumbnails(records["download"], list(shown.values()), gone)
    for size in found:
        size.examples[:] = [family for family in size.examples if family.image_id in shown]
    return {
        "sizes": found, "families": [family for family in largest if family.image_id in shown],
        "withheld": len(every) - len(shown), "pictures": sum(size.pictures for size in found),
        "captions": flow.ledger_of(records, "dedup", "captions"),
        "inherited": dedup.notes.get("captions", {}).get("inherited"),
        "found": search.found(records),
    }  # fmt: skip


def _training(config: RunConfig, records: Records, other: Record | None) -> dict[str, Any]:
    langs = config.run.languages
    found = records["evaluate"].notes if "evaluate" in records else None
    theirs = other.notes if other else None
    metrics = training.read_metrics(records["train"].path / training.METRICS) if "train" in records else []
    return {
        "settings": training.summary_of(records["train"]) if "train" in records else {},
        "loss": _svg(plots.loss_plot(metrics, langs)) if metrics else None, "last": metrics[-1] if metrics else None,
        "evaluated": found is not None, "compared": config.report.compare.name if config.report.compare else None,
        "items": {lang: part["items"] for lang, part in found["retrieval"].items()} if found else {},
        "retrieval": training.retrieval_rows(found, theirs, langs) if found else [],
        "zero_shot": training.zero_shot_rows(found, theirs, langs) if found else [],
    }  # fmt: skip


def _svg(text: str) -> Any:
    """Return our own SVG as text that the template does not escape."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - made by matplotlib from numbers, language codes and outlines


def _sources(config: RunConfig, records: Records) -> list[dict[str, str]]:
    """Return, for each finished stage, where its record and tables lie: relative to the run, or to the parent's name."""
    own = config.run.path
    rows = []
    for name, record in records.items():
        place = name if record.path.parent == own else f"{record.path.parent.resolve().name}/{name}"
        what = [f"{table} ({note['rows']:,} rows)" for table, note in record.data["tables"].items()]
        rows.append(
            {
                "stage": name,
                "place": f"{place}/_stage.json",
                "tables": ", ".join(what),
                "digest": record.digest[:16],
            }
        )
    return rows
