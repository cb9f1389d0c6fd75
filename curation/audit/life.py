"""The life of one pair through every stage of a run, with the numbers that decided: `curate why`.

Every number that decides is derived again from what the stage read, and compared with what it wrote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from curation.audit.files import RunFiles, among, thresholds_of
from curation.audit.find import Pair
from curation.audit.undescribed import reason_of
from curation.balance import COIN, HELD_OUT, WEIGHT_UNIT, Survivors, decide, entry_prob, miss_prob
from curation.config_balance import SELECTION_ONLY, BalanceSection
from curation.dedup.groups import Rule
from curation.errors import InputError, Reason
from curation.ids import coin, image_id
from curation.text import clean

STAGES = (
    "extract", "metadata", "match", "count", "balance", "download", "embed", "neighbours", "dedup",
    "count-survivors", "balance-survivors", "manifest",
)  # fmt: skip
PASSED, LEFT, NOT_RUN = "passed", "left", "not run"
Facts = dict[str, Any]


@dataclass
class Step:
    """What became of a pair in one stage."""

    stage: str
    state: str = PASSED
    """passed, left, or not run."""
    reason: str | None = None
    """Why it left."""
    facts: Facts = field(default_factory=dict)
    entries: list[Facts] = field(default_factory=list)
    """Entries of the pair as far as they are known here, a dict each: lang, entry_id, entry, count, t, entry_prob."""
    remarks: list[str] = field(default_factory=list)
    """What does not fit: a number that comes out otherwise than it was written."""


@dataclass(frozen=True)
class Life:
    """A pair and its steps, up to the one where it left or the last that was run."""

    pair: Pair
    steps: list[Step]

    @property
    def verdict(self) -> str:
        """One line: where the pair is."""
        last = self.steps[-1]
        if last.state == LEFT:
            return f"left at {last.stage}: {last.reason}"
        if last.state == NOT_RUN:
            return f"still there; {last.stage} has not been run"
        facts = last.facts
        if facts["split"] != "train":
            return "in the manifest, held out for evaluation"
        if facts["selected"]:
            return "in the manifest, selected"
        return f"in the manifest, not selected: {facts['why_not']}"


def life_of(files: RunFiles, pair: Pair) -> Life:
    """Return the life of a pair of the run."""
    walk = _Walk(files, pair)
    steps = []
    for stage in STAGES:
        if stage == "metadata" or (stage == "neighbours" and not files.has(stage) and files.has("dedup")):
            continue  # before the search was a stage, dedup searched
        if stage not in files.records:
            steps.append(Step(stage, NOT_RUN))
            break
        step: Step = getattr(walk, stage.replace("-", "_"))()
        steps.append(step)
        if step.state == LEFT:
            break
    return Life(pair, steps)


class _Walk:
    """Follows a pair from stage to stage; what one finds the next ones use."""

    def __init__(self, files: RunFiles, pair: Pair) -> None:
        self.files, self.pair = files, pair
        self.is_pair = pc.field("pair_id") == pair.pair_id
        self.matched: list[Facts] = []
        self.rows: list[Facts] = []
        self.image_id = self.why_not = ""
        self.prob_wanted = 1.0
        self.outcome: Facts = {}

    def extract(self) -> Step:
        """Where it was read."""
        names = ["text_source", "page_url", "origin", "crawl"]
        rows = self.files.rows("extract", "pairs", self.is_pair, columns=names)
        return (
            Step("extract", facts=rows[0]) if rows else Step("extract", remarks=["the table pairs lacks it"])
        )

    def match(self) -> Step:
        """Its clean text, language and entries."""
        self.matched = sorted(
            self.files.rows("match", "matches", self.is_pair), key=lambda row: str(row["lang"])
        )
        if not self.matched:
            return self._unmatched()
        first = self.matched[0]
        facts: Facts = {"clean_text": first["clean_text"]}
        for row in self.matched:
            facts[f"language {row['lang']}"] = {
                "score": row["lang_score"], "detector": row["detector"], "entries": len(row["entry_ids"]),
            }  # fmt: skip
        return Step("match", facts=facts, entries=[] if self.files.has("count") else self._entries())

    def _unmatched(self) -> Step:
        """Say why, as the table `dropped` has it; else as the same functions say again."""
        step = Step("match", LEFT, recorded := self._dropped_reason())
        step.facts["clean_text"] = text = clean(self.pair.text)
        try:
            verdict = self.files.identifier.identify(text, self.pair.pair_id)
            rows = self.files.match(pa.RecordBatch.from_pylist([vars(self.pair)], schema=_PAIR)).to_pylist()
        except InputError as error:
            step.remarks.append(f"cannot be derived again: {error}")
            return step
        step.facts["language"] = {
            "lang": verdict.lang, "score": verdict.score, "detector": verdict.detector, "second": verdict.mixed_lang,
        }  # fmt: skip
        derived = rows[0]["_reason"]
        if derived is None and self.files.records["match"].notes.get("earlier"):
            derived = Reason.MATCHED_EARLIER  # it matches, and the only other way out is a run before
        step.facts["reason"] = f"as derived again: {derived}" if recorded is None else "as recorded"
        if derived != (recorded or derived) or derived is None:
            step.remarks.append(
                f"derived again it is {derived or 'matched'}, recorded {recorded or 'no row'}"
            )
        step.reason = recorded or derived
        return step

    def _dropped_reason(self) -> str | None:
        place = self.files.records["match"].path / "dropped"
        if not place.is_dir():
            return None
        schema = pa.schema([pa.field("pair_id", pa.string()), pa.field("_reason", pa.string())])
        dataset = pads.dataset(place, schema=schema, format="parquet")
        rows = dataset.to_table(filter=self.is_pair).to_pylist()
        return rows[0]["_reason"] if rows else None

    def count(self) -> Step:
        """Whether it was counted, and how often its entries were."""
        config = self.files.records["count"].data["config"]
        tossed = coin(self.pair.url, config["run.seed"], HELD_OUT)
        held = tossed < config["run.heldout_share"]
        facts = {"held_out": held, "held_out_coin": tossed, "held_out_share": config["run.heldout_share"]}
        entries = [] if self.files.has("balance") else self._counted("count", self.matched)
        return Step("count", facts=facts, entries=entries)

    def balance(self) -> Step:
        """Whether it was wanted: its chance against its coin."""
        config = self.files.records["balance"].data["config"]
        held = coin(self.pair.url, config["run.seed"], HELD_OUT) < config["run.heldout_share"]
        entries = self._decided("count", "balance", self.matched)
        prob = 1.0 if held else chance_of(entries)
        tossed = coin(self.pair.pair_id, config["run.seed"], COIN)
        facts = {"keep_prob": prob, "coin": tossed, "wanted": tossed < prob, "held_out": held}
        step = Step("balance", facts=facts, entries=entries)
        rows = self.files.rows("balance", "wanted", self.is_pair)
        step.remarks += differences(rows[0] if rows else None, facts, ("keep_prob", "coin", "held_out"))
        if bool(rows) != facts["wanted"]:
            step.remarks.append(f"the table wanted {'has' if rows else 'lacks'} it")
        if not rows:
            step.state, step.reason = LEFT, Reason.BALANCED_OUT
        self.prob_wanted = rows[0]["keep_prob"] if rows else prob
        return step

    def download(self) -> Step:
        """What its address gave."""
        rows = self.files.rows("download", "outcomes", pc.field("url") == self.pair.url)
        if not rows:
            return Step("download", LEFT, "no outcome", remarks=["the table outcomes lacks its address"])
        row = {key: value for key, value in rows[0].items() if value is not None and key != "url"}
        self.image_id, self.outcome = row.get("image_id", ""), row
        state, reason = (PASSED, None) if row["status"] == "ok" else (LEFT, row.get("reason"))
        return Step("download", state, reason, facts=row)

    def embed(self) -> Step:
        """Whether its picture has a descriptor."""
        names = ["width", "height", "kind"]
        rows = self.files.rows("embed", "descriptors", pc.field("image_id") == self.image_id, columns=names)
        if rows:
            return Step("embed", facts=rows[0])
        counted = {reason for ledger in self.files.records["embed"].ledgers for reason in ledger["dropped"]}
        raw = self.files.records["download"].path / "raw"
        return Step("embed", LEFT, reason_of(raw, self.outcome, counted))

    def neighbours(self) -> Step:
        """Which pictures the search found near its own, down to the floor."""
        own = pc.field("image_id") == self.image_id
        same = self.files.rows("neighbours", "identical", own)
        key = same[0]["representative"] if same else self.image_id
        either = (pc.field("image_id_a") == key) | (pc.field("image_id_b") == key)
        edges = self.files.rows("neighbours", "edges", either)
        facts: Facts = {"near_pairs": len(edges)} | ({"descriptor_of": key} if same else {})
        if edges:
            best = max(edges, key=lambda edge: (edge["cosine"], edge["image_id_a"]))
            other = best["image_id_b"] if best["image_id_a"] == key else best["image_id_a"]
            facts |= {"nearest": other, "cosine": best["cosine"], "agreement": best["agreement"]}
        return Step("neighbours", facts=facts)

    def dedup(self) -> Step:
        """Its picture's group, and whether its caption stayed."""
        own = self.files.rows("dedup", "groups", pc.field("image_id") == self.image_id)
        if not own:
            return Step("dedup", LEFT, Reason.NO_IMAGE, remarks=["the table groups lacks its picture"])
        group = own[0]
        table = self.files.table("dedup", "groups")
        assert table is not None
        size = table.count_rows(filter=pc.field("group_id") == group["group_id"])
        facts: Facts = {"image_id": self.image_id, "pictures_in_group": size} | {
            key: group[key]
            for key in ("group_id", "survivor", "joined", "cosine", "rule", "near", "holdout")
            if group[key] is not None
        }
        self.rows = sorted(self.files.rows("dedup", "rows", self.is_pair), key=lambda row: str(row["lang"]))
        if self.rows:
            facts |= {key: self.rows[0][key] for key in ("inherited", "split")}
            step = Step("dedup", facts=facts)
            noted = {"keep_prob_wanted": self.prob_wanted, "image_id": group["joined"]}
            step.remarks += differences(self.rows[0], noted, tuple(noted))
            return step
        return Step("dedup", LEFT, self._why_no_row(group), facts=facts)

    def _why_no_row(self, group: Facts) -> str:
        if group["rule"] == Rule.HOLDOUT:
            return f"{Reason.HOLDOUT} {group['holdout']}"
        if group["in_index"] and self.files.rows("dedup", "rows_earlier", self.is_pair, columns=["pair_id"]):
            return f"{Reason.EARLIER_PICTURE}: it stands in rows_earlier"
        return self._merged_into(group["joined"], "rows_earlier" if group["in_index"] else "rows")

    def _merged_into(self, survivor: str, table: str) -> str:
        captions = [row["clean_text"] for row in self.matched]
        same = (pc.field("image_id") == survivor) & among("clean_text", captions)
        kept = self.files.rows("dedup", table, same, columns=["pair_id"], limit=1)
        if not kept:
            return "no row, and no other pair with its caption"
        return f"merged into {kept[0]['pair_id']}, which has the same caption and picture"

    def count_survivors(self) -> Step:
        """How often its entries were counted among survivors."""
        counted = self.rows[0]["split"] == "train"
        entries = [] if self.files.has("balance-survivors") else self._counted("count-survivors", self.rows)
        return Step("count-survivors", facts={"counted": counted}, entries=entries)

    def balance_survivors(self) -> Step:
        """Whether it was selected: the smaller of both chances against the same coin."""
        row = self.rows[0]
        entries = self._decided("count-survivors", "balance-survivors", self.rows)
        chance = chance_of(entries)
        final = min(row["keep_prob_wanted"], chance)
        is_train = row["split"] == "train"
        facts = {
            "keep_prob_among_survivors": chance, "keep_prob_wanted": row["keep_prob_wanted"], "keep_prob": final,
            "coin": row["coin"], "selected": is_train and row["coin"] < final,
        }  # fmt: skip
        step = Step("balance-survivors", facts=facts, entries=entries)
        found = self.files.rows("balance-survivors", "selection", self.is_pair)
        if found and facts["selected"] and not found[0]["selected"]:
            self.why_not = self._capped()
            facts["selected"] = not self.why_not
            facts["left_out_by"] = self.why_not
        elif not facts["selected"]:
            self.why_not = f"coin {row['coin']:.6g} >= keep_prob {final:.6g}"
        step.remarks += differences(found[0] if found else None, facts, ("keep_prob", "selected"))
        if not found:
            step.remarks.append("the table selection lacks it")
        return step

    def _capped(self) -> str:
        """Return by which option of the selection a pair that won its toss was left out; nothing where none is on."""
        files, config = self.files, self.files.records["balance-survivors"].data["config"]
        options = {key: config[key] for key in SELECTION_ONLY if config.get(key)}
        rows = files.rows("dedup", "rows", self._its_picture())
        keys = list(dict.fromkeys(row["pair_id"] for row in rows))
        _, reasons = decide(
            _survivors(rows, files.rows("balance-survivors", "selection", among("pair_id", keys))),
            BalanceSection(**options | {"max_per_domain": None}),
            seed=config.get("run.seed", files.setting("balance", "run.seed")),
        )
        own = reasons[keys.index(self.pair.pair_id)]
        return str(own or (Reason.OVER_DOMAIN_CAP if "max_per_domain" in options else ""))

    def _its_picture(self) -> pc.Expression:
        return pc.field("image_id") == self.rows[0]["image_id"]

    def manifest(self) -> Step:
        """Where it lies, and whether the picture's bytes lie there."""
        names = ("split", "selected", "caption", "image_id", "width", "height", "shard", "offset", "size")
        rows = self.files.rows("manifest", "manifest", self.is_pair, columns=names)
        if not rows:
            removed = self.files.rows("manifest", "removed", self.is_pair)
            if removed:
                return Step("manifest", LEFT, Reason.REMOVED, facts={"rule": removed[0]["rule"]})
            return Step("manifest", LEFT, "no row", remarks=["the manifest lacks it"])
        row = rows[0]
        shard = self.files.records["manifest"].path / row["shard"]
        step = Step("manifest", facts=row | {"why_not": self.why_not})
        try:
            with shard.open("rb") as file:
                file.seek(row["offset"])
                found = image_id(file.read(row["size"]))
        except OSError as error:
            found = error.strerror or str(error)
        if found != row["image_id"]:
            step.remarks.append(f"{row['shard']} at {row['offset']} does not hold the picture: {found}")
        return step

    def _entries(self) -> list[Facts]:
        return entries_of(self.files, self.matched)

    def _counted(self, stage: str, rows: Sequence[Facts]) -> list[Facts]:
        """Return the entries with their counts; weighted ones among survivors."""
        found = entries_of(self.files, rows)
        column, unit = ("weight", WEIGHT_UNIT) if stage == "count-survivors" else ("count", 1)
        for lang in sorted({item["lang"] for item in found}):
            mine = [item for item in found if item["lang"] == lang]
            ids = [item["entry_id"] for item in mine]
            where = (pc.field("lang") == lang) & pc.field("entry_id").isin(pa.array(ids, pa.int32()))
            counted = self.files.rows(stage, "counts", where, columns=["entry_id", column])
            by_id = {row["entry_id"]: row[column] * unit for row in counted}
            for item in mine:
                item["count"] = by_id.get(item["entry_id"], 0)
        return found

    def _decided(self, counted: str, balanced: str, rows: Sequence[Facts]) -> list[Facts]:
        """Return the entries with count, t and entry probability."""
        found = self._counted(counted, rows)
        ts = thresholds_of(self.files.records[balanced])
        for item in found:
            item["t"] = ts[item["lang"]]
            item["entry_prob"] = float(entry_prob([item["count"]], item["t"])[0])
        return found


_PAIR = pa.schema([pa.field(name, pa.string()) for name in ("pair_id", "url", "text")])


def entries_of(files: RunFiles, rows: Sequence[Facts]) -> list[Facts]:
    """Return the entries that a pair's rows name, language after language, each with its text."""
    return [
        {"lang": row["lang"], "entry_id": entry_id, "entry": files.entries[row["lang"]][entry_id]}
        for row in rows
        for entry_id in row["entry_ids"]
    ]


def _survivors(rows: Sequence[Facts], chances: Sequence[Facts]) -> Survivors:
    """Return the pairs of one picture, in order of their first row, with the chances that their selection recorded."""
    first = {row["pair_id"]: row for row in reversed(rows)}
    pairs = [first[key] for key in dict.fromkeys(row["pair_id"] for row in rows)]
    prob = {row["pair_id"]: row["keep_prob"] for row in chances}
    texts = {
        key: np.array([row[key] for row in pairs], dtype=object) for key in ("pair_id", "image_id", "url")
    }
    return Survivors(
        pair_id=texts["pair_id"], image_id=texts["image_id"], domain=texts["url"],
        prob=np.array([prob[row["pair_id"]] for row in pairs]),
        keep_prob_wanted=np.array([row["keep_prob_wanted"] for row in pairs]),
        coin=np.array([row["coin"] for row in pairs]),
        train=np.array([row["split"] == "train" for row in pairs]),
    )  # fmt: skip


def chance_of(entries: Sequence[Facts]) -> float:
    """Return the chance over a pair's entries, in the very order and arithmetic of the balance: 1 for nothing missed."""
    miss = 1.0
    for lang in sorted({item["lang"] for item in entries}):
        prob_M = np.array([item["entry_prob"] for item in entries if item["lang"] == lang])
        miss *= float(miss_prob(prob_M, np.arange(prob_M.size), np.array([0, prob_M.size]))[0])
    return 1.0 - miss


def differences(
    recorded: Mapping[str, Any] | None, derived: Mapping[str, Any], keys: Sequence[str]
) -> list[str]:
    """Return a line for each key whose recorded value is not the derived one."""
    if recorded is None:
        return []
    return [
        f"{key} is recorded as {recorded[key]!r}, derived again it is {derived[key]!r}"
        for key in keys
        if recorded[key] != derived[key]
    ]
