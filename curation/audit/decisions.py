"""`curate verify`, third part: decisions derived again from what they were made of, by the functions that made them.

A share of the pairs, by a coin of their ids, is followed through the tables; counts and thresholds are derived again whole. What is
held in memory are the sample's rows, and 8 bytes an entry.
"""

# E entries

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.audit.files import RunFiles, among, scan, thresholds_of
from curation.audit.findings import Findings
from curation.balance import COIN, HELD_OUT, Reals, entry_prob, fixed_weight, miss_prob, thresholds
from curation.earlier import OWN
from curation.ids import coin, coins, pair_id
from curation.match import READ
from curation.text import clean

SAMPLE = "verify"  # the purpose of the coin that draws the sample
PAIRS_AT_ONCE = 4_096
Row = Mapping[str, Any]
Rows = dict[str, list[dict[str, Any]]]
Longs = npt.NDArray[np.int64]


class Sample:
    """The rows of a share of the pairs, in every table that has a pair_id."""

    def __init__(self, files: RunFiles, found: Findings, *, share: float, seed: int) -> None:
        self.files, self.found = files, found
        self.share, self.seed = share, seed
        self._held: dict[tuple[str, str], Rows] = {}

    def rows(self, stage: str, table: str) -> Rows:
        """Return the sample's rows of a table, by pair_id; none where the stage is not done."""
        if (stage, table) not in self._held:
            self._held[stage, table] = self._read(stage, table)
        return self._held[stage, table]

    def _read(self, stage: str, table: str) -> Rows:
        held: Rows = {}
        dataset = self.files.table(stage, table)
        for batch in scan(dataset) if dataset is not None else ():
            drawn = coins(batch.column("pair_id").to_pylist(), self.seed, SAMPLE) < self.share
            for row in batch.filter(pa.array(drawn)).to_pylist():
                held.setdefault(row["pair_id"], []).append(row)
            self.found.tell(batch.num_rows)
        return {key: sorted(held[key], key=lambda row: str(row.get("lang"))) for key in sorted(held)}


def work_of(files: RunFiles) -> int:
    """Return the rows that `check_decisions` is going to read."""
    tables = [
        ("extract", "pairs"), ("match", "matches"), ("count", "matches"), ("balance", "wanted"), ("dedup", "rows"),
        ("count-survivors", "rows"), ("balance-survivors", "selection"), ("manifest", "manifest"), ("manifest", "removed"),
    ]  # fmt: skip
    readers = {"count": "match", "count-survivors": "dedup"}
    done = [(readers.get(stage, stage), table) for stage, table in tables if files.has(stage)]
    noted = [files.records[stage].data["tables"].get(table) for stage, table in done if files.has(stage)]
    return sum(int(item["rows"]) for item in noted if item)


def check_decisions(sample: Sample) -> None:
    """Derive again whatever the finished stages allow."""
    checks = (
        ("extract/pairs", ("extract",), check_ids),
        ("match/matches", ("extract", "metadata", "match"), check_matches),
        ("count/counts", ("match", "count"), lambda one: check_counts(one, "match", "matches", "count")),
        ("balance", ("count", "balance"), lambda one: check_thresholds(one, "count", "balance")),
        ("balance/wanted", ("match", "count", "balance"), check_wanted),
        ("dedup/rows", ("match", "balance", "download", "dedup"), check_rows),
        ("count-survivors/counts", ("dedup", "count-survivors"), lambda one: check_counts(one, "dedup", "rows", "count-survivors")),
        ("balance-survivors", ("count-survivors", "balance-survivors"), lambda one: check_thresholds(one, "count-survivors", "balance-survivors")),
        ("balance-survivors/selection", ("dedup", "count-survivors", "balance-survivors"), check_selection),
        ("manifest/manifest.parquet", ("dedup", "balance-survivors", "manifest"), check_manifest),
    )  # fmt: skip
    for where, stages, check in checks:
        if sample.files.has(*stages):
            with sample.found.guarded(where):
                check(sample)


def check_ids(sample: Sample) -> None:
    """Derive a pair's id from its address and text."""
    for key, rows in sample.rows("extract", "pairs").items():
        if pair_id(rows[0]["url"], rows[0]["text"]) != key:
            sample.found.fault("extract/pairs", f"{key} is not the id of its address and text")
        sample.found.checked["ids derived again"] += 1


def check_matches(sample: Sample) -> None:
    """Clean the texts, tell their language and find their entries again."""
    pairs, stored = sample.rows("extract", "pairs"), sample.rows("match", "matches")
    has_earlier = bool(sample.files.records["match"].notes.get("earlier"))
    keys = list(pairs)
    for start in range(0, len(keys), PAIRS_AT_ONCE):
        part = keys[start : start + PAIRS_AT_ONCE]
        given = [{name: pairs[key][0][name] for name in READ} for key in part]
        derived: Rows = {}
        for row in sample.files.match(pa.RecordBatch.from_pylist(given, schema=_READ)).to_pylist():
            if row.pop("_reason") is None:
                derived.setdefault(row["pair_id"], []).append(row)
        for key in part:
            rows = sorted(derived.get(key, []), key=lambda row: str(row["lang"]))
            if has_earlier and key not in stored:
                continue  # a run before may have had it
            compare(sample.found, "match/matches", key, stored.get(key, []), rows)
            sample.found.checked["texts matched again"] += 1
    for key in sorted(set(stored) - set(pairs)):
        sample.found.fault("match/matches", f"{key} stands there, and is not among extract's pairs")


_READ = pa.schema([pa.field(name, pa.string()) for name in READ])


def check_counts(sample: Sample, stage: str, table: str, counted: str) -> None:
    """Count all matches again: of survivors weighted by the inverse of the chance they were drawn with."""
    files, record = sample.files, sample.files.records[counted]
    named = OWN if OWN in record.data["tables"] else "counts"
    columns = {
        "matches": ("lang", "url", "entry_ids"),
        "rows": ("lang", "split", "keep_prob_wanted", "entry_ids"),
    }
    dataset, written = files.table(stage, table), files.table(counted, named)
    assert dataset is not None
    assert written is not None
    count, weight = ({lang: np.zeros(0, np.int64) for lang in files.languages} for _ in range(2))
    for batch in scan(dataset, columns[table]):
        kept, weights = _counted_rows(batch, record.data["config"])
        for lang in files.languages:
            mine = np.flatnonzero(kept & pc.equal(batch.column("lang"), lang).to_numpy(zero_copy_only=False))
            count[lang] = _added(
                count[lang], batch.column("entry_ids"), mine, np.ones(len(weights), np.int64)
            )
            weight[lang] = _added(weight[lang], batch.column("entry_ids"), mine, weights)
        sample.found.tell(batch.num_rows)
    for lang in files.languages:
        rows = written.to_table(filter=pc.field("lang") == lang).sort_by("entry_id")
        for name, derived in (("count", count[lang]), ("weight", weight[lang])):
            recorded = rows[name].to_numpy()
            grown = np.pad(derived, (0, max(0, recorded.size - derived.size)))
            for entry in np.flatnonzero(recorded != grown[: recorded.size]).tolist():
                told = f"{name} of entry {entry} of {lang} is {recorded[entry]}, counted again {grown[entry]}"
                sample.found.fault(f"{counted}/{named}", told)
        sample.found.checked["entries counted again"] += rows.num_rows


def _counted_rows(batch: pa.RecordBatch, config: Mapping[str, Any]) -> tuple[npt.NDArray[np.bool_], Longs]:
    """Return which rows are counted, bool (N,), and what each weighs, int64 (N,)."""
    if "split" in batch.schema.names:
        train = pc.equal(batch.column("split"), "train").to_numpy(zero_copy_only=False)
        return train, fixed_weight(batch.column("keep_prob_wanted").to_numpy())
    tossed = coins(batch.column("url").to_pylist(), config["run.seed"], HELD_OUT)
    return tossed >= config["run.heldout_share"], fixed_weight(np.ones(batch.num_rows))


def _added(total: Longs, ids: pa.ListArray, rows: npt.NDArray[np.integer], weights: Longs) -> Longs:
    """Return the total with the weights of these rows added at each of their entries."""
    own = ids.take(pa.array(rows))
    flat = own.flatten().to_numpy()
    repeated = np.repeat(weights[rows], own.value_lengths().to_numpy(zero_copy_only=False))
    size = max(total.size, int(flat.max(initial=-1)) + 1)
    grown = np.pad(total, (0, size - total.size))
    np.add.at(grown, flat, repeated)
    return grown


def check_thresholds(sample: Sample, counted: str, balanced: str) -> None:
    """Derive p and every t from the counts; a t that a budget gave is taken as it was noted."""
    files, record = sample.files, sample.files.records[balanced]
    config, notes = record.data["config"], record.notes
    noted = {lang: float(t) for lang, t in notes["t"].items()}
    given = {lang: float(t) for lang, t in config["t"].items()}
    given |= {lang: noted[lang] for lang in config.get("budget", {})}
    derived = thresholds(files.counts(counted), given, files.languages)
    for name, recorded, again in (("p", notes["p"], derived.p), ("t", noted, derived.t)):
        if recorded != again:
            sample.found.fault(
                f"{balanced}/_stage.json", f"{name} is noted as {recorded}, derived again {again}"
            )
    margin = config["margin"] if balanced == "balance" else 1.0
    if notes["margin"] != margin:
        sample.found.fault(
            f"{balanced}/_stage.json", f"margin is noted as {notes['margin']}, configured {margin}"
        )
    sample.found.checked["thresholds derived again"] += len(noted)


class Chances:
    """Chances of pairs by a stage's counts and thresholds."""

    def __init__(self, files: RunFiles, counted: str, balanced: str) -> None:
        ts = thresholds_of(files.records[balanced])
        counts = files.counts(counted)
        self.probs: dict[str, Reals] = {lang: entry_prob(counts[lang], t) for lang, t in ts.items()}

    def of(self, rows: Sequence[Row]) -> float:
        """Return the chance of a pair by its rows, in order of language: the arithmetic of the balance."""
        miss = 1.0
        for row in rows:
            ids = np.asarray(row["entry_ids"], dtype=np.int64)
            miss *= float(miss_prob(self.probs[row["lang"]], ids, np.array([0, ids.size]))[0])
        return 1.0 - miss


def check_wanted(sample: Sample) -> None:
    """Derive chance and coin of the matched pairs, and whether they are wanted."""
    config = sample.files.records["balance"].data["config"]
    chances = Chances(sample.files, "count", "balance")
    matched, stored = sample.rows("match", "matches"), sample.rows("balance", "wanted")
    for key in sorted({*matched, *stored}):
        if key not in matched:
            sample.found.fault("balance/wanted", f"{key} is wanted, and was not matched")
            continue
        url = matched[key][0]["url"]
        held = coin(url, config["run.seed"], HELD_OUT) < config["run.heldout_share"]
        row = {
            "pair_id": key, "url": url, "keep_prob": 1.0 if held else chances.of(matched[key]),
            "coin": coin(key, config["run.seed"], COIN), "held_out": held,
        }  # fmt: skip
        wanted = [row] if row["coin"] < row["keep_prob"] else []
        compare(sample.found, "balance/wanted", key, stored.get(key, []), wanted)
        sample.found.checked["chances derived again"] += 1


def check_rows(sample: Sample) -> None:
    """Compare the survivors' rows with what they were joined from: matches, wanted, outcomes and groups."""
    files, stored = sample.files, sample.rows("dedup", "rows")
    matched, wanted = sample.rows("match", "matches"), sample.rows("balance", "wanted")
    urls = [rows[0]["url"] for rows in stored.values()]
    outcomes = files.rows("download", "outcomes", among("url", urls), columns=["url", "image_id"])
    pictures = {row["url"]: row["image_id"] for row in outcomes}
    ids = among("image_id", [item for item in pictures.values() if item])
    groups = {row["image_id"]: row for row in files.rows("dedup", "groups", ids)}
    held = _held_out_groups(files, {row["group_id"] for row in groups.values()})
    has_index = any(
        str(item.get("path", "")).startswith("index ") for item in files.records["dedup"].data["externals"]
    )
    for key, rows in stored.items():
        own = pictures.get(rows[0]["url"])
        if key not in matched or key not in wanted or own not in groups:
            sample.found.fault(
                "dedup/rows", f"{key} stands there, but no match, wanted pair or picture of it does"
            )
            continue
        group = groups[own]
        joined = {
            "image_id": group["joined"], "source_image_id": own, "inherited": group["joined"] != own,
            "keep_prob_wanted": wanted[key][0]["keep_prob"], "coin": wanted[key][0]["coin"],
            "split": "heldout" if group["group_id"] in held else "train",
        }  # fmt: skip
        if has_index and rows[0]["split"] == "heldout":
            joined["split"] = "heldout"  # an earlier crawl may have held out a picture of the group
        derived = [{name: (row | joined)[name] for name in rows[0]} for row in matched[key]]
        compare(sample.found, "dedup/rows", key, rows, derived)
        sample.found.checked["survivors joined again"] += 1


def _held_out_groups(files: RunFiles, group_ids: Iterable[str]) -> set[str]:
    """Return those of some groups of near pictures of which any address is held out."""
    config = files.records["balance"].data["config"]
    of_group = files.rows(
        "dedup", "groups", among("group_id", list(group_ids)), columns=["image_id", "group_id"]
    )
    group = {row["image_id"]: row["group_id"] for row in of_group}
    where = among("image_id", list(group))
    shown = files.rows("download", "outcomes", where, columns=["url", "image_id"])
    seed, share = config["run.seed"], config["run.heldout_share"]
    return {group[row["image_id"]] for row in shown if coin(row["url"], seed, HELD_OUT) < share}


def check_selection(sample: Sample) -> None:
    """Derive chance and toss of the survivors. Caps and draws are `curation.audit.sealed.check_options`'."""
    from curation.config_balance import SELECTION_ONLY

    config = sample.files.records["balance-survivors"].data["config"]
    capped = any(config.get(key) for key in SELECTION_ONLY)
    chances = Chances(sample.files, "count-survivors", "balance-survivors")
    survivors, stored = sample.rows("dedup", "rows"), sample.rows("balance-survivors", "selection")
    for key in sorted({*survivors, *stored}):
        if key not in survivors:
            sample.found.fault("balance-survivors/selection", f"{key} is no survivor")
            continue
        first = survivors[key][0]
        final = min(first["keep_prob_wanted"], chances.of(survivors[key]))
        selected = first["split"] == "train" and first["coin"] < final
        if capped and selected and key in stored:
            selected = stored[key][0]["selected"]  # a cap may leave out what won its toss
        row = {"pair_id": key, "keep_prob": final, "selected": selected}
        compare(sample.found, "balance-survivors/selection", key, stored.get(key, []), [row])
        sample.found.checked["selections derived again"] += 1


def check_manifest(sample: Sample) -> None:
    """Compare the manifest's rows with the survivors' and the selection's."""
    survivors, chosen = sample.rows("dedup", "rows"), sample.rows("balance-survivors", "selection")
    stored, removed = sample.rows("manifest", "manifest"), sample.rows("manifest", "removed")
    for key in sorted({*survivors, *stored}):
        if key in removed and key not in stored:
            continue
        if key not in survivors or key not in chosen:
            sample.found.fault("manifest/manifest.parquet", f"{key} is no survivor")
            continue
        row = caption_of(survivors[key]) | {name: chosen[key][0][name] for name in ("keep_prob", "selected")}
        given = [{name: one[name] for name in row} for one in stored.get(key, [])]
        compare(sample.found, "manifest/manifest.parquet", key, given, [row])
        sample.found.checked["manifest rows derived again"] += 1


def caption_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the manifest says of a survivor: its surer language first, then the first by name."""
    first, *others = sorted(rows, key=lambda row: (-row["lang_score"], row["lang"]))
    kept = (
        "pair_id", "url", "text", "lang", "entry_ids", "image_id", "source_image_id", "inherited", "keep_prob_wanted",
        "coin", "split",
    )  # fmt: skip
    return {name: first[name] for name in kept} | {
        "caption": clean(first["text"]),
        "mixed_lang": others[0]["lang"] if others else None,
        "mixed_entry_ids": others[0]["entry_ids"] if others else None,
    }


def compare(found: Findings, where: str, key: str, stored: Sequence[Row], derived: Sequence[Row]) -> None:
    """Note a fault that names the first difference between the rows of a pair as stored and as derived again."""
    if len(stored) != len(derived):
        found.fault(where, f"{key} has {len(stored)} rows there, derived again {len(derived)}")
        return
    for ours, theirs in zip(stored, derived, strict=True):
        for name, value in ours.items():
            if value != theirs.get(name):
                told = f"{name} of {key} is {_short(value)}, derived again {_short(theirs.get(name))}"
                found.fault(where, told)
                return


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
