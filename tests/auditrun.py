"""A finished run whose every number holds, made in seconds without Spark: real functions on drawn pictures and made-up captions.

Where a stage has an oracle (counts by a loop, keep_prob pair by pair) that is what is used, so that an audit meets numbers of another
make.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tablefiles import note, write, write_checksums
from tinymanifest import COLOURS, ENGLISH_FORMS, KOREAN, KOREAN_FORMS, SHAPES, draw, encoded

from curation.balance import COIN, DRAW, WEIGHT_UNIT, entry_prob, thresholds
from curation.config import (
    BalanceSection,
    DedupSection,
    ExtractSection,
    ManifestSection,
    MatchSection,
    RunConfig,
    RunSection,
)
from curation.errors import Reason
from curation.ids import bucket, coin, image_id, pair_id
from curation.language import language_identifier
from curation.manifest import MANIFEST, SHARDS, shard_name, write_manifest_file
from curation.match import PairMatcher, load_matcher
from curation.schemas import TABLES
from curation.shards import RawReader, Sample, write_shard
from curation.spark import balance, count, dedup, download, embed, extract, manifest, match, neighbours
from curation.stage import Ledger, OpenStage, StageSpec, Tally, file_sha256, run_stage
from metadata.entries import SPEC as METADATA
from metadata.entries import Entry, frozen_lists, write_lists

SPECS: dict[str, StageSpec] = {
    "extract": extract.SPEC, "metadata": METADATA, "match": match.SPEC, "count": count.SPEC, "balance": balance.SPEC,
    "download": download.SPEC, "embed": embed.SPEC, "neighbours": neighbours.SPEC, "dedup": dedup.SPEC,
    "count-survivors": count.SPEC_SURVIVORS, "balance-survivors": balance.SPEC_SURVIVORS, "manifest": manifest.SPEC,
}  # fmt: skip
SHARDS_A_SPLIT = 2
ODD = {0: "1234", 1: "les chiens sont dans le jardin avec leurs amis", 2: "nothing here is listed at all"}
Rows = list[dict[str, Any]]


def make_run(
    path: Path, *, pictures: int = 90, until: str = "manifest", keep_dropped: bool = False, seed: int = 3, t: float = 8.0,
    rows_per_file: int = 60,
    options: dict[str, Any] | None = None,
) -> RunConfig:  # fmt: skip
    """Make a run up to a stage: two captions a picture, every tenth picture a copy of the one before it."""
    config = RunConfig(
        run=RunSection(path=path, seed=seed, heldout_share=0.1),
        extract=ExtractSection(keep_dropped=keep_dropped),
        match=MatchSection(mode={"en": "metaclip1", "ko": "korean"}, keep_dropped=keep_dropped),
        balance=BalanceSection(t={"en": t}, **options or {}),
        dedup=DedupSection(threshold=0.95),
        manifest=ManifestSection(rows_per_file=rows_per_file),
    )
    world = World(config, pictures)
    for name in list(SPECS)[: list(SPECS).index(until) + 1]:
        work: Callable[[OpenStage], None] = getattr(world, name.replace("-", "_"))
        run_stage(config, replace(SPECS[name], resumes=False), work)
    return config


class World:
    """What there is to read, and what each stage makes of it."""

    def __init__(self, config: RunConfig, pictures: int) -> None:
        self.config, self.seed = config, config.run.seed
        self.bodies: dict[str, bytes] = {}
        self.pairs: Rows = []
        for n in range(pictures):
            shown = n - 1 if n % 10 == 1 else n
            colour, shape = list(COLOURS)[shown**2 % 7 % 4], SHAPES[shown // 4 % 4]
            url = f"http://site{n % 5}.test/{n}.png"
            self.bodies[url] = encoded(draw(colour, shape, str(shown), 24), "PNG" if n % 10 != 1 else "BMP")
            form = shown if n % 20 == 1 else n  # every other copy has the captions of its original too
            texts = [
                ENGLISH_FORMS[form % 4].format(colour, shape),
                KOREAN_FORMS[form % 4].format(KOREAN[colour], KOREAN[shape]),
            ]
            if form % 3:  # only heads are named
                texts = [f"a photo, {colour} {form}", f"{KOREAN[colour]} 그림 {form}"]
            texts = ["  ".join(texts)] if n % 9 == 4 else texts
            texts += [ODD[n]] if n in ODD else []
            self.pairs += [
                {
                    "pair_id": pair_id(url, text), "url": url, "text": text, "text_source": "alt",
                    "page_url": f"http://site{n % 5}.test/", "origin": "a.warc.wat.gz", "crawl": None,
                }
                for text in texts
            ]  # fmt: skip

    def extract(self, stage: OpenStage) -> None:
        write(stage, "pairs", self.pairs)
        out = len(self.pairs)
        stage.add(Ledger(unit="candidates", rows_in=out + 1, rows_out=out, dropped={Reason.NOT_HTTP: 1}))
        if self.config.extract.keep_dropped:
            dropped = {"url": "ftp://a.test/x.png", "text": "a boat", "_reason": str(Reason.NOT_HTTP)}
            (stage.path / "dropped").mkdir()
            pq.write_table(pa.Table.from_pylist([dropped]), stage.path / "dropped" / "part-0.parquet")

    def metadata(self, stage: OpenStage) -> None:
        english = [*COLOURS, *SHAPES, "a", "photo", "plain", "on a"]
        korean = [*(KOREAN[name] for name in (*COLOURS, *SHAPES)), "그림", "배경", "하나"]
        for colour in COLOURS:
            english += [f"{colour} {shape}" for shape in SHAPES]
            korean += [f"{KOREAN[colour]} {KOREAN[shape]}" for shape in SHAPES]
        write_lists(
            stage,
            {
                lang: [Entry(lang, one, "given") for one in of]
                for lang, of in (("en", english), ("ko", korean))
            },
        )

    def match(self, stage: OpenStage) -> None:
        lists = frozen_lists(stage.inputs["metadata"])
        matchers = {
            lang: load_matcher(one.path, one.sha256, lang=lang, mode=self.config.match.mode_of(lang))
            for lang, one in lists.items()
        }
        identifier = language_identifier(self.config.run.languages, seed=self.seed)
        matcher = PairMatcher(identifier, matchers, min_chars=1, max_chars=2_000)
        tally, names = Tally(), ("pair_id", "url", "text")
        given = [{name: row[name] for name in names} for row in self.pairs]
        schema = pa.schema([field.remove_metadata() for field in TABLES["matches"]])
        found = matcher.match_pairs(pa.RecordBatch.from_pylist(given), schema, tally).to_pylist()
        self.matches = [row for row in found if row["_reason"] is None]
        write(stage, "matches", self.matches)
        stage.add(tally.of("pairs"))
        stage.notes["lid_model_sha256"] = identifier.model_sha256
        if self.config.match.keep_dropped:
            (stage.path / "dropped").mkdir()
            dropped = [row for row in found if row["_reason"]]
            pq.write_table(pa.Table.from_pylist(dropped), stage.path / "dropped" / "part-0.parquet")

    def _held(self, url: str) -> bool:
        return coin(url, self.seed, count.HELD_OUT) < self.config.run.heldout_share

    def count(self, stage: OpenStage) -> None:
        kept = [row for row in self.matches if not self._held(row["url"])]
        self.counts = self._counted(stage, kept, len(self.matches), None)

    def _counted(
        self, stage: OpenStage, kept: Rows, rows_in: int, weigh: str | None
    ) -> dict[str, list[float]]:
        """Count by a loop; return the numbers that the balance reads."""
        table: Rows = []
        for lang, size in ((lang, one.size) for lang, one in frozen_lists(stage.inputs["metadata"]).items()):
            numbers, weights = [0] * size, [0] * size
            for row in kept:
                for entry in row["entry_ids"] if row["lang"] == lang else ():
                    numbers[entry] += 1
                    weights[entry] += round(1 / (row[weigh] if weigh else 1.0) / WEIGHT_UNIT)
            both = zip(numbers, weights, strict=True)
            table += [{"lang": lang, "entry_id": i, "count": n, "weight": w} for i, (n, w) in enumerate(both)]
        write(stage, "counts", table)
        for file in sorted((stage.path / "counts").glob("*.parquet")):
            stage.add_file(f"counts/{file.name}", file_sha256(file))
        stage.add(
            Ledger(
                unit="rows",
                rows_in=rows_in,
                rows_out=len(kept),
                dropped={Reason.HELD_OUT: rows_in - len(kept)},
            )
        )
        return {
            lang: [
                row["weight"] * WEIGHT_UNIT if weigh else float(row["count"])
                for row in table
                if row["lang"] == lang
            ]
            for lang in self.config.run.languages
        }

    def _chances(
        self, stage: OpenStage, counts: dict[str, list[float]], rows: Rows, margin: float
    ) -> dict[str, float]:
        found = thresholds(counts, self.config.balance.t, self.config.run.languages)
        stage.notes |= {"p": found.p, "t": found.t, "t_given": list(found.given), "margin": margin}
        probs = {lang: entry_prob(counts[lang], margin * t) for lang, t in found.t.items()}
        miss: dict[str, float] = {}
        for row in sorted(rows, key=lambda row: str(row["lang"])):
            of_row = 1.0
            for entry in row["entry_ids"]:
                of_row *= 1.0 - float(probs[row["lang"]][entry])
            miss[row["pair_id"]] = miss.get(row["pair_id"], 1.0) * of_row
        return {key: 1.0 - value for key, value in miss.items()}

    def balance(self, stage: OpenStage) -> None:
        chances = self._chances(stage, self.counts, self.matches, self.config.balance.margin)
        urls = {row["pair_id"]: row["url"] for row in self.matches}
        rows = [
            {
                "pair_id": key, "url": urls[key], "keep_prob": 1.0 if self._held(urls[key]) else chance,
                "coin": coin(key, self.seed, COIN), "held_out": self._held(urls[key]),
            }
            for key, chance in sorted(chances.items())
        ]  # fmt: skip
        self.wanted = [row for row in rows if row["coin"] < row["keep_prob"]]
        left = {Reason.BALANCED_OUT: len(rows) - len(self.wanted)}
        stage.add(Ledger(unit="pairs", rows_in=len(rows), rows_out=len(self.wanted), dropped=left))
        write(stage, "wanted", self.wanted)
        for file in (stage.path / "wanted").glob("*.parquet"):
            write_checksums(file)

    def download(self, stage: OpenStage) -> None:
        (stage.path / "raw").mkdir()
        data, self.outcomes = b"", list[dict[str, Any]]()
        for n, url in enumerate(sorted({row["url"] for row in self.wanted})):
            body = self.bodies[url]
            row: dict[str, Any] = {
                "url": url,
                "status": "dropped",
                "reason": "http_status",
                "http_status": 404,
            }
            if n % 11 == 5:
                row |= {"reason": "opted_out", "http_status": 200, "opt_out": "noai"}
            elif n % 11:
                mime = "image/png" if body.startswith(b"\x89PNG") else "image/bmp"
                row = {
                    "url": url, "status": "ok", "image_id": image_id(body), "bytes": len(body), "width": 24, "height": 24,
                    "mime": mime, "http_status": 200, "raw_shard": "0.tar", "raw_offset": len(data),
                }  # fmt: skip
                data += body
            self.outcomes.append(row)
        (stage.path / "raw" / "0.tar").write_bytes(data)
        write(stage, "outcomes", self.outcomes)
        reasons = [str(row["reason"]) for row in self.outcomes if row["status"] == "dropped"]
        dropped = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
        total = len(self.outcomes)
        stage.add(Ledger(unit="urls", rows_in=total, rows_out=total - len(reasons), dropped=dropped))
        self.ok = {row["url"]: row for row in self.outcomes if row["status"] == "ok"}

    def embed(self, stage: OpenStage) -> None:
        ids = sorted({row["image_id"] for row in self.ok.values()})
        rows = [
            {"image_id": one, "width": 24, "height": 24, "codes": b"", "kind": "none", "kind_sha256": ""}
            for one in ids
        ]
        write(stage, "descriptors", rows)
        stage.add(Ledger(unit="images", rows_in=len(ids), rows_out=len(ids)))

    def _joined(self) -> dict[str, str]:
        number = {row["image_id"]: int(url.rpartition("/")[2][:-4]) for url, row in sorted(self.ok.items())}
        by_number = {n: key for key, n in number.items()}
        return {key: by_number.get(n - 1, key) if n % 10 == 1 else key for key, n in number.items()}

    def neighbours(self, stage: OpenStage) -> None:
        pairs = sorted((*sorted(pair), 0.97) for pair in self._joined().items() if pair[0] != pair[1])
        pairs += [(*sorted((one, other)), 0.93) for one, other in pairwise(sorted(self._joined()))][
            :20
        ]  # below the threshold
        names = ("image_id_a", "image_id_b", "cosine")
        write(stage, "edges", [dict(zip(names, pair, strict=True)) for pair in sorted(pairs)])
        write(stage, "identical", [])
        num = len(self._joined())
        stage.add(Ledger(unit="images", rows_in=num, rows_out=num))
        stage.notes["search"] = {"mode": "exhaustive", "floor": 0.92, "agreement_bound": None}

    def dedup(self, stage: OpenStage) -> None:
        joined = self._joined()
        groups = [
            {
                "image_id": key, "group_id": own, "survivor": own == key, "joined": own, "cosine": 1.0 if own == key else 0.97,
                "rule": "survivor" if own == key else "near_descriptor", "near": None if own == key else own, "in_index": False,
            }
            for key, own in sorted(joined.items())
        ]  # fmt: skip
        write(stage, "groups", groups)
        kept = len(set(joined.values()))
        stage.add(Ledger(unit="images", rows_in=len(joined), rows_out=kept, merged=len(joined) - kept))
        self._rows(stage, joined)

    def _rows(self, stage: OpenStage, joined: dict[str, str]) -> None:
        wanted = {row["pair_id"]: row for row in self.wanted if row["url"] in self.ok}
        held = {joined[self.ok[row["url"]]["image_id"]] for row in wanted.values() if row["held_out"]}
        captions: dict[tuple[str, str], list[tuple[bool, str]]] = {}
        rows: Rows = []
        for row in self.matches:
            if row["pair_id"] in wanted:
                own = self.ok[row["url"]]["image_id"]
                chosen = wanted[row["pair_id"]]
                rows.append(row | {
                    "image_id": joined[own], "source_image_id": own, "inherited": joined[own] != own,
                    "keep_prob_wanted": chosen["keep_prob"], "coin": chosen["coin"],
                    "split": "heldout" if joined[own] in held else "train",
                })  # fmt: skip
                place = captions.setdefault((joined[own], row["clean_text"]), [])
                place.append((joined[own] != own, row["pair_id"]))
        first = {min(found)[1] for found in captions.values()}
        self.rows = [row for row in rows if row["pair_id"] in first]
        write(stage, "rows", self.rows)
        lost = len(self.wanted) - len(wanted)
        stage.add(
            Ledger(
                unit="captions", rows_in=len(self.wanted), rows_out=len(first), dropped={Reason.NO_IMAGE: lost},
                merged=len(wanted) - len(first),
            )
        )  # fmt: skip

    def count_survivors(self, stage: OpenStage) -> None:
        kept = [row for row in self.rows if row["split"] == "train"]
        self.weights = self._counted(stage, kept, len(self.rows), "keep_prob_wanted")

    def balance_survivors(self, stage: OpenStage) -> None:
        chances = self._chances(stage, self.weights, self.rows, 1.0)
        self.selection = []
        pairs = list({row["pair_id"]: row for row in self.rows}.values())
        final = {row["pair_id"]: min(chances[row["pair_id"]], row["keep_prob_wanted"]) for row in pairs}
        selected = self._selected(pairs, final)
        self.selection = [
            {"pair_id": key, "keep_prob": prob, "selected": key in selected} for key, prob in final.items()
        ]
        write(stage, "selection", self.selection)
        stage.add(Ledger(unit="pairs", rows_in=len(self.selection), rows_out=len(self.selection)))

    def _selected(self, pairs: Rows, final: dict[str, float]) -> set[str]:
        """Select by the options' own words: draw a caption, toss, then cap pictures and hosts."""
        options, left = self.config.balance, [row for row in pairs if row["split"] == "train"]
        if options.one_caption:
            left = first_of(left, 1, "image_id", lambda row: coin(row["pair_id"], self.seed, DRAW))
        left = [row for row in left if row["coin"] < final[row["pair_id"]]]

        def rank(row: dict[str, Any]) -> float:
            return float(row["coin"] / final[row["pair_id"]])

        left = first_of(left, options.max_per_image, "image_id", rank)
        left = first_of(
            [row | {"host": row["url"].split("/")[2]} for row in left], options.max_per_domain, "host", rank
        )
        return {row["pair_id"] for row in left}

    def manifest(self, stage: OpenStage) -> None:
        captions = [self._caption(row["pair_id"]) | row for row in self.selection]
        for folder in (MANIFEST, SHARDS):
            (stage.path / folder).mkdir()
        places, sizes = {}, {}
        read = RawReader(stage.input("download") / "raw")
        named = sorted({shard_name(row["split"], row["image_id"], SHARDS_A_SPLIT) for row in captions})
        for name in named:
            mine = [
                row for row in captions if shard_name(row["split"], row["image_id"], SHARDS_A_SPLIT) == name
            ]
            samples = [self._sample(key, mine) for key in sorted({row["image_id"] for row in mine})]
            found, sha256 = write_shard(stage.path / name, samples, read)
            places |= {
                place.image_id: {"shard": name, "offset": place.offset, "size": place.size} for place in found
            }
            stage.add_file(name, sha256)
            sizes[Path(name).name] = len(found)
        read.close()
        (stage.path / SHARDS / "sizes.json").write_text(json.dumps(sizes, indent=1) + "\n")
        rows = [row | places[row["image_id"]] | {"width": 24, "height": 24} for row in captions]
        files = max(1, -(-len(rows) // self.config.manifest.rows_per_file))
        schema = TABLES["manifest"]
        for index in range(files):
            part = [row for row in rows if bucket(row["pair_id"], files) == index]
            sha256 = write_manifest_file(
                stage.path / MANIFEST, index, pa.Table.from_pylist(part, schema=schema)
            )
            stage.add_file(f"{MANIFEST}/{index:05d}.parquet", sha256)
        note(stage, "manifest", pa.Table.from_pylist(rows, schema=schema))
        stage.add(Ledger(unit="images", rows_in=len(places), rows_out=len(places)))
        stage.add(Ledger(unit="captions", rows_in=len(rows), rows_out=len(rows)))

    def _caption(self, key: str) -> dict[str, Any]:
        first, *others = sorted(
            (row for row in self.rows if row["pair_id"] == key),
            key=lambda row: (-row["lang_score"], row["lang"]),
        )
        mixed = others[0] if others else {"lang": None, "entry_ids": None}
        return first | {
            "caption": first["clean_text"], "mixed_lang": mixed["lang"], "mixed_entry_ids": mixed["entry_ids"]
        }  # fmt: skip

    def _sample(self, key: str, captions: Rows) -> Sample:
        stored = min(
            (row for row in self.ok.values() if row["image_id"] == key), key=lambda row: row["raw_offset"]
        )
        mine = sorted(
            (row for row in captions if row["image_id"] == key), key=lambda row: str(row["pair_id"])
        )
        told = tuple({"pair_id": row["pair_id"], "lang": row["lang"], "text": row["caption"]} for row in mine)
        return Sample(
            key, stored["mime"], stored["raw_shard"], stored["raw_offset"], stored["bytes"], told, 24, 24
        )


def first_of(rows: Rows, number: int | None, group: str, rank: Callable[[dict[str, Any]], float]) -> Rows:
    """Return the first `number` rows of each group by rank, then id; all of them where there is no number."""
    taken: dict[str, Rows] = {}
    for row in sorted(rows, key=lambda row: (rank(row), row["pair_id"])):
        taken.setdefault(row[group], []).append(row)
    return [row for found in taken.values() for row in found[:number]]
