"""A finished run, made up in a moment without Spark: tables of the right form and records whose sums close."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from curation.balance import WEIGHT_UNIT, entry_prob, keep_prob, p_to_t, t_to_p
from curation.config import BalanceSection, DedupSection, RunConfig, RunSection
from curation.dedup.kinds import recipe_of
from curation.errors import Reason
from curation.ids import coin, image_id, pair_id
from curation.manifest import MANIFEST, write_manifest_file
from curation.schemas import TABLES
from curation.stage import Ledger, OpenStage, StageSpec, run_stage
from metadata.entries import Entry, save_list

RUN_KEYS = ("languages", "seed", "heldout_share")
HOSTILE = '<script>alert("x")</script> & <img src=x onerror=y>'
STEERING = "a\u202egnp.exe\u2066 \"quoted\" 'single' \x00 \x1b[31m\u2028 end"
HOSTILE_HOST = 'a"><script>.example.org'
T = 12.0
NUM_ENTRIES = 60
HELD_OUT_SHARE = 0.1
DROPPED_TEXTS = {"a text that names nothing": 30, "x": 20}  # of pairs that `match` drops
SIDE = 24  # pixels of a picture
CHOSEN = 0.7  # chance of a survivor to be selected
STAGES = (
    "extract", "metadata", "match", "count", "balance", "download", "embed", "neighbours", "dedup",
    "count-survivors", "balance-survivors", "manifest", "train", "evaluate",
)  # fmt: skip


def entry_of(lang: str, index: int) -> str:
    if index == 3:
        return HOSTILE
    return f"entry {index}" if lang != "ko" else f"항목{index}"


def make_run(
    path: Path,
    *,
    languages: Sequence[str] = ("en", "ko"),
    pairs: int = 240,
    until: str = "evaluate",
    t: float = T,
) -> RunConfig:
    """Make a run up to a stage: `pairs` a language, entries by Zipf's law, pictures of which every third is a copy."""
    config = RunConfig(
        run=RunSection(path=path, languages=tuple(languages), seed=5, heldout_share=HELD_OUT_SHARE),
        balance=BalanceSection(t={languages[0]: t}),
        dedup=DedupSection(threshold=0.95),
    )
    world = World(config, pairs)
    for name in STAGES[: STAGES.index(until) + 1]:
        work: Callable[[OpenStage], None] = getattr(world, name.replace("-", "_"))
        section = {
            "match": "match",
            "balance": "balance",
            "balance-survivors": "balance",
            "dedup": "dedup",
            "train": "train",
        }.get(name)
        keys = RUN_KEYS if name in {"match", "count", "balance"} else ()
        run_stage(config, StageSpec(name=name, section=section, version=1, reads=(), run_keys=keys), work)
    return config


class World:
    """The rows of the run, and what each stage writes of them."""

    def __init__(self, config: RunConfig, pairs: int) -> None:
        self.config = config
        self.languages = config.run.languages
        self.rows: list[dict[str, Any]] = []
        for lang in self.languages:
            for i in range(pairs):
                host = HOSTILE_HOST if i == 2 else "other.example.org" if i % 5 == 0 else "example.org"
                url = f"http://{host}/{lang}/{i}.png"
                text = f"{lang} text {i}" if lang != "ko" else f"글자 {i}"
                text = {0: HOSTILE, 1: STEERING}.get(i, text)
                rank = int(NUM_ENTRIES ** coin(f"{lang}{i}", 0, "rank")) - 1
                self.rows.append({
                    "pair_id": pair_id(url, text), "url": url, "text": text, "clean_text": text, "lang": lang,
                    "entry_ids": sorted({rank, (rank * 7 + i) % NUM_ENTRIES} if i % 4 == 0 else {rank}),
                    "held": coin(url, 5, "heldout") < HELD_OUT_SHARE, "lang_score": 0.9, "detector": "script", "mixed": False,
                    "picture": i - i % 9 if i % 3 == 0 else i,
                })  # fmt: skip
        self.bodies = {row["picture"]: _png(row["picture"]) for row in self.rows}
        self.ids = {key: image_id(body) for key, body in self.bodies.items()}

    def _counts(self, rows: Sequence[dict[str, Any]], lang: str) -> list[int]:
        found = [0] * NUM_ENTRIES
        for row in rows:
            for key in row["entry_ids"] if row["lang"] == lang else ():
                found[key] += 1
        return found

    def _train(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if not row["held"]]

    def extract(self, stage: OpenStage) -> None:
        n = len(self.rows)
        stage.add(
            Ledger(
                unit="records", rows_in=n, rows_out=n - 5, dropped={Reason.BAD_JSON: 3, Reason.NO_LINKS: 2}
            )
        )
        rows = [
            row | {"text_source": "alt", "page_url": "", "origin": "0", "crawl": None} for row in self.rows
        ]
        for text, number in DROPPED_TEXTS.items():
            urls = [f"http://example.org/{len(text)}/{i}.png" for i in range(number)]
            rows += [rows[0] | {"pair_id": pair_id(url, text), "url": url, "text": text} for url in urls]
        _write(stage, "pairs", rows)
        dropped = {Reason.NO_TEXT: 70, Reason.NOT_HTTP: 30}
        stage.add(Ledger(unit="candidates", rows_in=n + 160, rows_out=n + 50, dropped=dropped, merged=10))

    def metadata(self, stage: OpenStage) -> None:
        rows, notes = [], {}
        for lang in self.languages:
            entries = [
                Entry(lang, entry_of(lang, i), "wordnet" if i % 2 else "unigram") for i in range(NUM_ENTRIES)
            ]
            frozen = save_list(entries, stage.path, lang)
            notes[lang] = {"file": frozen.path.name, "sha256": frozen.sha256, "entries": frozen.size}
            rows += [
                {"lang": lang, "entry_id": i, "entry": e.entry, "source": e.source, "score": None}
                for i, e in enumerate(entries)
            ]
        stage.notes["lists"] = notes
        _write(stage, "entries", rows)
        stage.add(Ledger(unit="entries", rows_in=len(rows), rows_out=len(rows)))

    def match(self, stage: OpenStage) -> None:
        n = len(self.rows)
        stage.add(
            Ledger(
                unit="pairs", rows_in=n + 50, rows_out=n, dropped={Reason.NO_MATCH: 30, Reason.TOO_SHORT: 20}
            )
        )
        _write(stage, "matches", self.rows)
        stage.notes["rows"] = {lang: sum(row["lang"] == lang for row in self.rows) for lang in self.languages}

    def count(self, stage: OpenStage) -> None:
        self._write_counts(stage, self._train())

    def _write_counts(self, stage: OpenStage, kept: list[dict[str, Any]]) -> None:
        rows = []
        for lang in self.languages:
            counted = enumerate(self._counts(kept, lang))
            rows += [
                {"lang": lang, "entry_id": i, "count": n, "weight": int(n / WEIGHT_UNIT)} for i, n in counted
            ]
        _write(stage, "counts", rows)
        stage.add(Ledger(unit="rows", rows_in=len(kept), rows_out=len(kept)))

    def _thresholds(self, stage: OpenStage) -> dict[str, float]:
        first = self.languages[0]
        t = self.config.balance.t[first]
        counts = {lang: self._counts(self._train(), lang) for lang in self.languages}
        p = t_to_p(counts[first], t)
        found = {lang: t if lang == first or p == 0 else p_to_t(counts[lang], p) for lang in self.languages}
        written = {lang: str(value) if value == float("inf") else value for lang, value in found.items()}
        stage.notes |= {"p": p, "t": written, "t_given": [first], "margin": 1.5}
        return found

    def balance(self, stage: OpenStage) -> None:
        probs = {
            lang: entry_prob(self._counts(self._train(), lang), 1.5 * t)
            for lang, t in self._thresholds(stage).items()
        }
        for row in self.rows:
            row["coin"] = coin(row["pair_id"], 5, "balance")
            row["keep_prob"] = 1.0 if row["held"] else keep_prob(probs[row["lang"]], row["entry_ids"])
        self.wanted = [row for row in self.rows if row["coin"] < row["keep_prob"]]
        dropped = {Reason.BALANCED_OUT: len(self.rows) - len(self.wanted)}
        stage.notes["expected_pairs"] = sum(row["keep_prob"] for row in self.rows if not row["held"])
        stage.notes["held_out_pairs"] = sum(row["held"] for row in self.rows)
        stage.add(Ledger(unit="pairs", rows_in=len(self.rows), rows_out=len(self.wanted), dropped=dropped))
        _write(stage, "wanted", [row | {"held_out": row["held"]} for row in self.wanted])

    def download(self, stage: OpenStage) -> None:
        raw = stage.path / "raw"
        raw.mkdir()
        data, rows = b"", []
        self.fetched = [row for i, row in enumerate(self.wanted) if i % 8]
        for row in self.wanted:
            body, ok = self.bodies[row["picture"]], row in self.fetched
            place = {
                "image_id": self.ids[row["picture"]],
                "bytes": len(body),
                "raw_shard": "0.tar",
                "raw_offset": len(data),
            }
            rows.append(
                {"url": row["url"], "status": "ok" if ok else "dropped"}
                | (place if ok else {"reason": "timeout"})
            )
            data += body
        (raw / "0.tar").write_bytes(data)
        _write(stage, "outcomes", rows)
        lost = len(self.wanted) - len(self.fetched)
        dropped = {Reason.TIMEOUT: lost}
        stage.add(Ledger(unit="urls", rows_in=len(self.wanted), rows_out=len(self.fetched), dropped=dropped))

    def embed(self, stage: OpenStage) -> None:
        pictures = sorted({row["picture"] for row in self.fetched})
        recipe = recipe_of("builtin")
        kind, bodies = recipe.kind, [self.bodies[key] for key in pictures]
        found = recipe.describer()(bodies)
        shape = {"width": SIDE, "height": SIDE, "kind": kind.name, "kind_sha256": kind.sha256}
        rows = [
            shape | {"image_id": self.ids[key], "codes": codes.tobytes(), "detail": detail}
            for key, codes, detail in zip(pictures, found.codes, found.detail or [], strict=True)
        ]
        _write(stage, "descriptors", sorted(rows, key=lambda row: str(row["image_id"])))
        stage.notes["kind"] = kind.as_note()
        stage.add(Ledger(unit="images", rows_in=len(pictures), rows_out=len(pictures)))

    def neighbours(self, stage: OpenStage) -> None:
        """Say what a search would say: that it missed one pair of forty."""
        for name in ("edges", "identical"):
            _write(stage, name, [])
        recall = {"pictures": 9, "pairs": 40, "found": 39, "recall": 0.975, "low": 0.87, "high": 0.995}
        bands = [
            {"low_cosine": low, "high_cosine": high} | recall
            for low, high in ((0.92, None), (0.92, 0.95), (0.95, None))
        ]
        stage.notes |= {
            "search": {
                "mode": "probe", "guarantee": "what is measured", "floor": 0.92, "agreement_bound": None, "cells": 7, "comparisons": 12345,
                "device": "cpu", "library": "faiss-cpu 1.15.1",
            },
            "audit": {"pictures": 100, "seed": 5, "floor": 0.92, "bands": bands},
        }  # fmt: skip

    def dedup(self, stage: OpenStage) -> None:
        """Let every three pictures in ten be one family: the smallest number survives."""
        pictures = sorted({row["picture"] for row in self.fetched})
        kept = {key: min(k for k in pictures if k // 4 == key // 4) for key in pictures}
        self.survivors = [dict(row) for row in self.fetched]
        for row in self.survivors:
            own = kept[row["picture"]]
            row |= {
                "source_image_id": self.ids[row["picture"]], "image_id": self.ids[own], "inherited": own != row["picture"],
                "keep_prob_wanted": row["keep_prob"], "split": "heldout" if row["held"] else "train",
            }  # fmt: skip
        groups = [
            {
                "image_id": self.ids[key], "group_id": self.ids[own], "survivor": own == key, "joined": self.ids[own],
                "cosine": 1.0 if own == key else 0.97, "rule": "survivor" if own == key else "near_descriptor",
            }
            for key, own in kept.items()
        ]  # fmt: skip
        _write(stage, "groups", groups)
        _write(stage, "rows", self.survivors)
        left = len(set(kept.values()))
        stage.add(Ledger(unit="images", rows_in=len(kept), rows_out=left, merged=len(kept) - left))
        wanted, out = len(self.wanted), len(self.survivors)
        stage.add(
            Ledger(unit="captions", rows_in=wanted, rows_out=out, dropped={Reason.NO_IMAGE: wanted - out})
        )
        stage.notes["captions"] = {"inherited": sum(row["inherited"] for row in self.survivors)}
        rules = {"near_descriptor": len(kept) - left, "survivor": left}
        stage.notes["groups"] = {"rules": rules, "near_pairs": len(kept) - left}
        stage.notes["holdout"] = {"threshold": 0.95, "sets": {HOSTILE: {"pictures": 8, "dropped": 0}}}

    def count_survivors(self, stage: OpenStage) -> None:
        self._write_counts(stage, [row for row in self.survivors if row["split"] == "train"])

    def balance_survivors(self, stage: OpenStage) -> None:
        self._thresholds(stage)
        train = [row for row in self.survivors if row["split"] == "train"]
        stage.notes |= {"margin_too_small_pairs": 2, "expected_pairs": CHOSEN * len(train)}
        stage.add(Ledger(unit="pairs", rows_in=len(self.survivors), rows_out=len(self.survivors)))

    def manifest(self, stage: OpenStage) -> None:
        (stage.path / MANIFEST).mkdir()
        rows, notes = [], dict[str, int]()
        for row in self.survivors:
            prob = CHOSEN * row["keep_prob_wanted"]
            chosen = row["split"] == "train" and row["coin"] < prob
            key = f"{row['split']}/{row['lang']}/{'selected' if chosen else 'not_selected'}"
            notes[key] = notes.get(key, 0) + 1
            place = {
                "caption": row["clean_text"],
                "selected": chosen,
                "width": SIDE,
                "height": SIDE,
                "shard": "",
                "offset": 0,
            }
            rows.append(row | place | {"size": 1, "keep_prob": prob})
        write_manifest_file(stage.path / MANIFEST, 0, pa.Table.from_pylist(rows, schema=TABLES["manifest"]))
        self.selected = [row for row in rows if row["selected"]]
        images = len({row["image_id"] for row in rows})
        stage.add(Ledger(unit="images", rows_in=images, rows_out=images))
        stage.add(Ledger(unit="captions", rows_in=len(rows), rows_out=len(rows)))
        stage.add_table("manifest", rows=len(rows), digest="0")
        stage.notes |= {"captions": notes, "shards": 1}

    def train(self, stage: OpenStage) -> None:
        losses = {"": 0.0} | {f"_{lang}": 0.1 for lang in self.languages}
        lines = [
            {"step": step, "lr": 1e-3}
            | {f"loss{lang}": more + 5 / (1 + step / 50) for lang, more in losses.items()}
            for step in range(10, 610, 10)
        ]
        (stage.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def evaluate(self, stage: OpenStage) -> None:
        chance = {"R@1": 0.01, "R@5": 0.05, "R@10": 0.1}
        found = {"R@1": 0.31, "R@5": 0.52, "R@10": 0.643}
        both = ("image_to_text", "text_to_image")
        asked = dict.fromkeys(both, found) | {"items": 200, "chance": dict.fromkeys(both, chance)}
        accuracy = {"items": 80, "classes": 36, "accuracy": 0.4, "chance": 0.0278}
        stage.notes |= {
            "retrieval": dict.fromkeys(self.languages, asked),
            "zero_shot": {"objects": dict.fromkeys(self.languages, accuracy)},
        }


def _png(number: int) -> bytes:
    stream = io.BytesIO()
    image = Image.new("RGB", (SIDE, SIDE), (number % 256, number // 256, 120))
    for bar in range(6):  # a plain picture would have no descriptor
        shade = int(255 * coin(f"{number}/{bar}", 0, "bar"))
        image.paste((shade, 255 - shade, shade // 2), (4 * bar, 4 * (number % 5), 4 * bar + 3, SIDE))
    image.save(stream, "PNG")
    return stream.getvalue()


def _write(stage: OpenStage, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write a table as a stage does: a directory of Parquet files, here two of them."""
    schema = TABLES[table]
    (stage.path / table).mkdir()
    half = len(rows) // 2
    for index, part in enumerate((rows[:half], rows[half:])):
        written = pa.Table.from_pylist(
            [{name: row.get(name) for name in schema.names} for row in part], schema=schema
        )
        pq.write_table(written, stage.path / table / f"part-{index}.parquet")
    stage.add_table(table, rows=len(rows), digest="0")
