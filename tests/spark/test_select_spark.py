"""Selections of sealed manifests are those of plain numpy, the same bytes however they are made, and never hold what is held out."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from curation import ids
from curation.balance import WEIGHT_UNIT, Survivors, decide, entry_prob, fixed_weight, keep_prob, thresholds
from curation.config import SparkSection
from curation.config_balance import BalanceSection
from curation.datacomp import read_subset
from curation.domains import host_of
from curation.errors import ConfigError, CurationError, InputError, StageError
from curation.schemas import TABLES
from curation.spark.select import main, parse
from curation.spark.selection import DATACOMP, SELECTION, SelectOptions, select
from curation.stage import Record, read_record

SIZE = 30  # entries a language
LANGS = ("en", "ko")
SPARK = SparkSection(partitions=2)
Row = dict[str, Any]


def entries_of(key: str, lang: str) -> list[int]:
    found = {
        int(SIZE * ids.coin(f"{key}{k}", 0, lang) ** 3) for k in range(1 + int(3 * ids.coin(key, 0, lang)))
    }
    return sorted(found)


def drawn(numbers: range, t: float, *, seed: int = 5) -> list[Row]:
    """A manifest's rows: what a first balance with t draws of a pool, and its own selection at once."""
    pool = []
    for number in numbers:
        url, text = f"http://www{number % 7}.example/{number // 2}.png", f"text {number}"
        key, lang = ids.pair_id(url, text), LANGS[number % 3 == 0]
        other = LANGS[lang == "en"] if number % 11 == 0 else None
        pool.append((number, url, text, key, lang, other))
    matched = {
        lang: [entries_of(key, lang) for *_, key, first, other in pool if lang in (first, other)]
        for lang in LANGS
    }
    probs = {
        lang: entry_prob(np.bincount(np.concatenate(found), minlength=SIZE), t)
        for lang, found in matched.items()
    }
    rows = []
    for number, url, text, key, lang, other in pool:
        picture = ids.image_id(f"{number // 3}".encode())
        misses = [1.0 - keep_prob(probs[one], entries_of(key, one)) for one in sorted({lang, other} - {None})]  # type: ignore[arg-type]
        held = ids.coin(picture, 0, "held") < 0.08
        chance, coin = 1.0 if held else 1.0 - float(np.prod(misses)), ids.coin(key, seed, "balance")
        if coin < chance:
            rows.append({
                "pair_id": key, "url": url, "text": text, "caption": text, "lang": lang, "entry_ids": entries_of(key, lang),
                "mixed_lang": other, "mixed_entry_ids": entries_of(key, other) if other else None, "image_id": picture,
                "source_image_id": picture, "inherited": False, "keep_prob_wanted": chance, "keep_prob": chance, "coin": coin,
                "selected": not held, "width": 1, "height": 1, "shard": "s", "offset": 0, "size": 1,
                "split": "heldout" if held else "train",
            })  # fmt: skip
    return rows


def write(folder: Path, rows: list[Row], *, files: int = 2, drawn_with: dict[str, Any] | None = None) -> Path:
    """Write a manifest's folder with a record, in files that are not sorted."""
    (folder / "manifest.parquet").mkdir(parents=True)
    for part in range(files):
        table = pa.Table.from_pylist(rows[::-1][part::files], schema=TABLES["manifest"])
        pq.write_table(table, folder / "manifest.parquet" / f"{part:05d}.parquet", row_group_size=50)
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    record = {
        "stage": "manifest", "tables": {"manifest": {"rows": len(rows), "digest": digest}}, "files": {}, "ledgers": [],
        "notes": {"drawn_with": drawn_with or {}}, "config": {"run.languages": list(LANGS)}, "inputs": {},
    }  # fmt: skip
    (folder / "_stage.json").write_text(json.dumps(record))
    return folder


def oracle(
    rows: Sequence[Row], section: BalanceSection, *, seed: int | None = None
) -> dict[str, tuple[float, bool]]:
    """keep_prob and selected by pair, in plain numpy, over all rows at once."""
    counts = {lang: np.zeros(SIZE) for lang in LANGS}
    for row in rows:
        if row["split"] == "train":
            weight = int(fixed_weight(np.array([row["keep_prob_wanted"]]))[0])
            for lang, found in ((row["lang"], row["entry_ids"]), (row["mixed_lang"], row["mixed_entry_ids"])):
                if lang:
                    counts[lang][found] += weight
    counts = {lang: values * WEIGHT_UNIT for lang, values in counts.items()}
    found = thresholds(counts, section.t, LANGS)
    probs = {lang: entry_prob(counts[lang], t) for lang, t in found.t.items()}

    def chance(row: Row) -> float:
        texts = [(row["lang"], row["entry_ids"]), (row["mixed_lang"], row["mixed_entry_ids"])]
        misses = [
            1.0 - keep_prob(probs[lang], named) for lang, named in sorted(text for text in texts if text[0])
        ]
        return 1.0 - float(np.prod(misses))

    def column(name: str) -> Any:
        return np.array([row[name] for row in rows])

    coins, wanted = column("coin"), column("keep_prob_wanted")
    if seed is not None:
        fresh = ids.coins([row["pair_id"] for row in rows], seed, "balance")
        coins = np.where(fresh == coins, coins, fresh * wanted)
    survivors = Survivors(
        pair_id=column("pair_id").astype(object), image_id=column("image_id").astype(object),
        domain=np.array([host_of(row["url"]) for row in rows], dtype=object), prob=np.array([chance(row) for row in rows]),
        keep_prob_wanted=wanted, coin=coins, train=column("split") == "train",
    )  # fmt: skip
    final, reason = decide(survivors, section, seed=5 if seed is None else seed)
    return {row["pair_id"]: (final[n], reason[n] is None) for n, row in enumerate(rows)}


def taken(record: Record) -> dict[str, tuple[float, bool]]:
    rows = pq.read_table(record.path / SELECTION).to_pylist()
    return {row["pair_id"]: (row["keep_prob"], row["selected"]) for row in rows}


def selected(record: Record) -> set[str]:
    return {key for key, (_, chosen) in taken(record).items() if chosen}


def published(path: Path) -> dict[str, str]:
    files = sorted((path / SELECTION).iterdir()) + sorted(path.glob("*.npy"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return drawn(range(1500), 60.0)


@pytest.fixture(scope="module")
def made(rows: list[Row], spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    balance = {"t": {"en": 30.0}, "margin": 2.0}
    known = {
        "seed": 5,
        "lists": {"en": "e1", "ko": "k1"},
        "balance": balance,
        "downloaded_for": {"en": 60.0, "ko": 60.0},
    }
    return write(tmp_path_factory.mktemp("sealed") / "manifest", rows, drawn_with=known)


Ask = Callable[..., Record]


@pytest.fixture
def ask(made: Path, tmp_path: Path) -> Ask:
    def asked(section: BalanceSection | None = None, spark: SparkSection = SPARK, **options: Any) -> Record:
        given = {"manifest": (made,), "out": tmp_path / "out", "rows_per_file": 300} | options
        return select(SelectOptions(**given), section or BalanceSection(t={"en": 30.0}), spark)

    return asked


@pytest.mark.parametrize(
    ("options", "seed"),
    [
        ({}, None),
        ({}, 9),
        ({"t": {"en": 10.0, "ko": float("inf")}}, None),
        ({"one_caption": True, "max_per_domain": 40}, None),
        ({"max_per_image": 1}, 9),
    ],
)
def test_a_selection_is_that_of_plain_numpy(
    ask: Ask, rows: list[Row], options: Row, seed: int | None
) -> None:
    section = BalanceSection(**({"t": {"en": 30.0}} | options))
    found, expected = taken(ask(section, seed=seed)), oracle(rows, section, seed=seed)
    assert found.keys() == expected.keys()
    assert {key for key in found if found[key][1]} == {key for key in expected if expected[key][1]}
    assert max(abs(found[key][0] - expected[key][0]) for key in found) < 1e-14
    held = {row["pair_id"] for row in rows if row["split"] != "train"}
    assert held
    assert not any(found[key][1] for key in held)


def test_partitions_files_and_order_of_the_manifests_rows_change_no_byte(
    ask: Ask, rows: list[Row], tmp_path: Path
) -> None:
    first = ask(datacomp=True, out=tmp_path / "a")
    other = write(tmp_path / "manifest", rows, files=5)
    again = ask(
        datacomp=True,
        out=tmp_path / "b",
        manifest=(other,),
        seed=5,
        spark=replace(SPARK, partitions=5, adaptive=False),
    )
    assert published(first.path) == published(again.path)
    assert first.data["tables"] == again.data["tables"]
    assert len(published(first.path)) >= 3
    ordered = [
        key
        for path in sorted((first.path / SELECTION).iterdir())
        for key in pq.read_table(path)["pair_id"].to_pylist()
    ]
    assert ordered == sorted(row["pair_id"] for row in rows)
    assert read_subset(first.path / DATACOMP).to_pylist() == sorted(selected(first))


def test_another_seed_tosses_again_among_what_was_downloaded(
    ask: Ask, rows: list[Row], tmp_path: Path
) -> None:
    own, same, other = (ask(seed=seed, out=tmp_path / f"s{seed}") for seed in (None, 5, 9))
    assert published(own.path) == published(same.path)
    assert selected(own) != selected(other)
    expected = own.notes["expected_pairs"]
    assert other.notes["expected_pairs"] == expected
    chance = {
        row["pair_id"]: taken(own)[row["pair_id"]][0] / row["keep_prob_wanted"]
        for row in rows
        if row["split"] == "train"
    }
    error = np.sqrt(sum(p * (1 - p) for p in chance.values()))
    for record in (own, other):
        assert abs(len(selected(record)) - expected) < 4 * error


def test_a_t_above_what_was_downloaded_for_is_counted_and_said(
    ask: Ask, rows: list[Row], made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    within, above = (ask(BalanceSection(t={"en": t, "ko": t}), out=tmp_path / f"t{t}") for t in (30.0, 300.0))
    wanted = {row["pair_id"]: row["keep_prob_wanted"] for row in rows}
    assert all(final <= wanted[key] for key, (final, _) in taken(above).items())
    train = [row for row in rows if row["split"] == "train"]
    assert (
        above.notes["margin_too_small_pairs"]
        == sum(row["keep_prob_wanted"] < 1 - 1e-12 for row in train)
        > 100
    )
    assert selected(within) < selected(above)
    args = [
        "--manifest",
        str(made),
        "--out",
        str(tmp_path / "said"),
        "--t.en",
        "300",
        "--t.ko=300",
        "--rows-per-file",
        "300",
    ]
    assert main(args, Console(width=80)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "pairs would be kept with a higher chance than they were downloaded with" in printed
    assert "curate train --manifest" in printed
    assert published(tmp_path / "said") == published(above.path)


def test_what_is_not_given_is_as_in_the_runs_own_selection(
    ask: Ask, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--manifest", str(made), "--out", str(tmp_path / "own"), "--rows-per-file", "300", "--json"]
    assert main(args, Console(width=80)) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["config"]["t"] == {"en": 30.0}
    assert record["notes"]["seed"] == 5
    assert published(tmp_path / "own") == published(ask().path)


def test_a_selection_is_made_once_and_no_other_is_written_over_it(ask: Ask, tmp_path: Path) -> None:
    first = selected(ask())
    assert ask().skipped
    with pytest.raises(
        StageError, match=r"was made with another config\.t\.en .* another --out to keep both"
    ):
        ask(BalanceSection(t={"en": 20.0}))
    again = ask(BalanceSection(t={"en": 20.0}), on_existing="overwrite")
    assert not again.skipped
    assert selected(again) < first
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(StageError, match="holds something that is no stage"):
        ask(out=tmp_path / "other")
    with pytest.raises(ConfigError, match="called as a stage is"):
        ask(out=tmp_path / "manifest")


def test_what_the_removal_list_names_is_neither_counted_nor_selected(
    ask: Ask, rows: list[Row], tmp_path: Path
) -> None:
    (tmp_path / "gone.txt").write_text("www3.example\n")
    record = ask(removals=(str(tmp_path / "gone.txt"),))
    gone = {row["pair_id"] for row in rows if row["url"].startswith("http://www3.")}
    assert gone
    assert not gone & taken(record).keys()
    left = [row for row in rows if row["pair_id"] in taken(record)]
    expected = oracle(left, BalanceSection(t={"en": 30.0}))
    assert selected(record) == {key for key, (_, chosen) in expected.items() if chosen}
    assert record.ledgers[0]["dropped"]["removed"] == len(rows) - len(left)


def test_manifests_of_several_crawls_are_one_pool(
    rows: list[Row], spark: SparkSession, tmp_path: Path
) -> None:
    """Drawn with other thresholds and with pairs in common: the selection is numpy's over each pair once, at its best chance."""
    second = drawn(range(1300, 2400), 90.0)
    for row in second[5:9]:
        row["split"] = "heldout"  # of a pair that the first has too: held out in both
    folders = (write(tmp_path / "m1", rows), write(tmp_path / "m2", second))
    section = BalanceSection(t={"en": 40.0})
    options = SelectOptions(manifest=folders, out=tmp_path / "out", rows_per_file=300)
    record = select(options, section, SPARK)
    held = {row["image_id"] for row in [*rows, *second] if row["split"] != "train"}
    best: dict[str, Row] = {}
    for row in [*rows, *second]:
        other = best.get(row["pair_id"])
        if other is None or row["keep_prob_wanted"] > other["keep_prob_wanted"]:
            best[row["pair_id"]] = row
    assert 50 < len(rows) + len(second) - len(best) == record.ledgers[0]["merged"]
    merged = [row | {"split": "heldout" if row["image_id"] in held else "train"} for row in best.values()]
    expected = oracle(merged, section)
    assert selected(record) == {key for key, (_, chosen) in expected.items() if chosen}
    swapped = select(replace(options, manifest=folders[::-1], out=tmp_path / "swapped"), section, SPARK)
    assert published(record.path) == published(swapped.path)
    assert {row["pair_id"] for row in [*rows, *second] if row["image_id"] in held}.isdisjoint(
        selected(record)
    )


def firsts(rows: Sequence[Row]) -> dict[str, str]:
    """The uid of each picture's sample: the least pair_id of all its captions, as they lie in its shard."""
    found: dict[str, str] = {}
    for row in rows:
        found[row["image_id"]] = min(row["pair_id"], found.get(row["image_id"], "~"))
    return found


def test_datacomps_subset_of_pictures_has_every_picture_with_a_selected_caption(
    ask: Ask, rows: list[Row], tmp_path: Path
) -> None:
    record = ask(BalanceSection(t={"en": 5.0, "ko": 5.0}), datacomp=True)
    chosen, uids = selected(record), firsts(rows)
    shown = {row["image_id"] for row in rows if row["pair_id"] in chosen}
    found = read_subset(record.path / "datacomp-pictures.npy").to_pylist()
    assert found == sorted(uids[image] for image in shown)
    assert set(found) - chosen  # of some the selected caption is not the first
    assert record.notes["manifests"][0]["pictures"] == "datacomp-pictures.npy"
    assert not list(record.path.glob("_*uids*"))
    (tmp_path / "gone.txt").write_text("www3.example\n")
    left = ask(BalanceSection(t={"en": 5.0, "ko": 5.0}), datacomp=True, removals=(str(tmp_path / "gone.txt"),), out=tmp_path / "r")  # fmt: skip
    listed = {row["image_id"] for row in rows if row["url"].startswith("http://www3.")}
    still = {row["image_id"] for row in rows if row["pair_id"] in selected(left)}
    assert still & listed  # a sample that would bring the text along that was asked to be gone
    found = read_subset(left.path / "datacomp-pictures.npy").to_pylist()
    assert found == sorted(uids[image] for image in still - listed)


def test_datacomps_subsets_of_several_manifests_show_each_pair_once(
    rows: list[Row], spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = drawn(range(1300, 2400), 90.0)
    folders = {"m1": write(tmp_path / "m1", rows), "m2": write(tmp_path / "m2", second)}
    options = SelectOptions(manifest=tuple(folders.values()), out=tmp_path / "out", datacomp=True)
    record = select(options, BalanceSection(t={"en": 8.0, "ko": 8.0}), SPARK)
    best = {row["pair_id"]: ("m1", row) for row in rows}
    order = [Path(item["folder"]).name for item in record.notes["manifests"]]
    for row in second:
        name, other = best.get(row["pair_id"], ("m2", row))
        ranks = [
            (row["keep_prob_wanted"], -order.index("m2")),
            (other["keep_prob_wanted"], -order.index(name)),
        ]
        if row["pair_id"] not in best or ranks[0] > ranks[1]:
            best[row["pair_id"]] = ("m2", row)
    for name, pool in (("m1", rows), ("m2", second)):
        item = record.notes["manifests"][order.index(name)]
        assert item["pictures"] == f"datacomp-pictures-{order.index(name) + 1}.npy"
        shown = {best[key][1]["image_id"] for key in selected(record) if best[key][0] == name}
        uids = firsts(pool)
        assert read_subset(record.path / item["pictures"]).to_pylist() == sorted(
            uids[image] for image in shown
        )
        assert shown


def test_shards_that_were_sealed_without_uids_get_no_subset_and_the_verb_says_so(
    rows: list[Row], spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = write(tmp_path / "manifest", rows[:200]), tmp_path / "out"
    record = json.loads((folder / "_stage.json").read_text())
    (folder / "_stage.json").write_text(json.dumps(record | {"version": 1}))
    args = ["--manifest", str(folder), "--t.en", "9", "--datacomp", "--spark.partitions", "2"]
    assert main([*args, "--out", str(out)], Console(width=200)) == 0
    assert "their samples have no uid" in " ".join(capsys.readouterr().out.split())
    assert sorted(file.name for file in out.glob("*.npy")) == [DATACOMP]


def test_manifests_that_do_not_go_together_are_refused(
    rows: list[Row], spark: SparkSession, tmp_path: Path
) -> None:
    def refused(said: str, *folders: Path, kind: type[CurationError] = ConfigError, **options: Any) -> None:
        given = {"out": tmp_path / "out", "on_existing": "overwrite"} | options
        with pytest.raises(kind, match=said):
            select(SelectOptions(manifest=folders, **given), BalanceSection(t={"en": 30.0}), SPARK)

    some = rows[:300]
    first = write(tmp_path / "m1", some, drawn_with={"lists": {"en": "e1", "ko": "k1"}})
    refused("are one manifest: name it once", first, first)
    other = write(tmp_path / "m2", rows[300:500], drawn_with={"lists": {"en": "e1", "ko": "k2"}})
    refused("another entry list ko", first, other)
    coins = [write(tmp_path / f"s{seed}", rows[seed * 9 :][:9], drawn_with={"seed": seed}) for seed in (1, 2)]
    refused("were drawn by different coins .* with seed 1, .* with seed 2", *coins)
    refused("--rows-per-file is 0", first, rows_per_file=0)
    tossed = write(tmp_path / "m3", [row | {"coin": row["coin"] / 2} for row in rows[200:400]])
    refused("100 pairs lie in several manifests with another coin", first, tossed, kind=InputError)
    refused("holds no manifest.parquet", tmp_path, kind=InputError)
    refused("has rows in ko", first, languages=("en",))
    (tmp_path / "m4" / "manifest.parquet").mkdir(parents=True)
    (tmp_path / "m4" / "_begun.json").write_text("{}")
    refused("not finished", tmp_path / "m4", kind=InputError)


def test_entries_and_languages_that_only_held_out_rows_have_are_no_fault(
    rows: list[Row], spark: SparkSession, tmp_path: Path
) -> None:
    low = [row | {"entry_ids": [0, 3], "mixed_lang": None, "mixed_entry_ids": None} for row in rows[:300]]
    english = [row for row in low if row["lang"] == "en" or row["split"] != "train"]
    high = [row | {"entry_ids": [SIZE - 1]} if row["split"] != "train" else row for row in english]
    assert any(row["split"] != "train" and row["lang"] == "ko" for row in high)
    section = BalanceSection(t={"en": 30.0, "ko": 5.0})
    options = SelectOptions(manifest=(write(tmp_path / "m", high),), out=tmp_path / "out")
    expected = oracle(high, section)
    assert selected(select(options, section, SPARK)) == {
        key for key, (_, chosen) in expected.items() if chosen
    }


def test_a_pair_that_one_manifest_must_lose_with_its_picture_stays_in_another(
    rows: list[Row], spark: SparkSession, tmp_path: Path
) -> None:
    own, other, heir = (row | {"split": "train", "coin": 0.01} for row in rows[:3])
    own |= {"url": "http://gone.example/a.png", "image_id": "a" * 64, "source_image_id": "a" * 64}
    here = heir | {"image_id": "a" * 64, "source_image_id": "b" * 64, "keep_prob_wanted": 0.9}
    there = heir | {"image_id": "b" * 64, "source_image_id": "b" * 64, "keep_prob_wanted": 0.8}
    (tmp_path / "gone.txt").write_text("gone.example\n")
    folders = (write(tmp_path / "m1", [own, here]), write(tmp_path / "m2", [other, there]))
    given = {"out": tmp_path / "out", "removals": (str(tmp_path / "gone.txt"),)}
    section = BalanceSection(t={"en": 9.0, "ko": 9.0})
    record = select(SelectOptions(manifest=folders, **given), section, SPARK)  # type: ignore[arg-type]
    assert taken(record).keys() == {other["pair_id"], heir["pair_id"]}
    assert record.ledgers[0] == {
        "unit": "manifest rows",
        "in": 4,
        "out": 2,
        "dropped": {"removed": 2},
        "merged": 0,
    }
    assert {item["folder"] for item in record.notes["manifests"]} == {"../m1", "../m2"}


def test_a_toml_file_gives_its_removals_and_its_balance_only_where_it_has_one(
    made: Path, tmp_path: Path
) -> None:
    (tmp_path / "gone.txt").write_text("www3.example\n")
    run = f'[run]\nremovals = ["{tmp_path / "gone.txt"}"]\n'
    (tmp_path / "own.toml").write_text(run)
    (tmp_path / "other.toml").write_text(run + "[balance]\nt = { en = 12.0 }\n")
    for name, t in (("own", 30.0), ("other", 12.0)):
        _, options, section, _ = parse(
            [
                "--manifest",
                str(made),
                "--out",
                str(tmp_path / "out"),
                "--config",
                str(tmp_path / f"{name}.toml"),
            ]
        )
        assert section.t == {"en": t}
        assert options.removals == (str(tmp_path / "gone.txt"),)


def test_a_budget_brings_no_threshold_of_a_default_along(rows: list[Row], tmp_path: Path) -> None:
    args = ["--manifest", str(write(tmp_path / "m", rows[:9])), "--out", str(tmp_path / "out")]
    _, _, section, _ = parse([*args, "--budget.ko", "50"])
    assert (section.t, section.budget) == ({"ko": float("inf")}, {"ko": 50.0})


def test_a_manifest_without_a_record_is_read_and_asks_for_what_it_cannot_know(
    rows: list[Row], spark: SparkSession, tmp_path: Path
) -> None:
    folder = write(tmp_path / "manifest", rows)
    (folder / "_stage.json").unlink()
    args = ["--manifest", str(folder), "--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match=r"pass --t\.LANG or --budget\.LANG"):
        main(args, Console())
    with pytest.raises(ConfigError, match="pass --languages"):
        main([*args, "--t.en", "30"], Console())
    assert (
        main([*args, "--t.en", "30", "--languages", "en", "ko"], Console(file=(tmp_path / "said").open("w")))
        == 0
    )
    found = {key for key, (_, chosen) in oracle(rows, BalanceSection(t={"en": 30.0})).items() if chosen}
    assert selected(read_record(tmp_path / "out")) == found
