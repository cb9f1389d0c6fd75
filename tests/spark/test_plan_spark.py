"""What `curate plan` foresees is what the stages count and note."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from curation.config import BalanceSection, RunConfig, RunSection
from curation.ids import coin, pair_id
from curation.report.planning import main
from curation.schemas import TABLES
from curation.spark import balance, count
from curation.stage import OpenStage, Record, StageSpec, run_stage
from metadata.entries import Entry, save_list

NUM_ENTRIES = 150
RUN_KEYS = ("languages", "seed")


def matches(pairs: int) -> list[dict[str, Any]]:
    """Rows of two languages by Zipf's law; every seventh pair is mixed."""
    rows = []
    for i in range(pairs):
        url = f"http://a.test/{i}.png"
        key = pair_id(url, str(i))
        for lang in ("en", "ko") if i % 7 == 0 else (("en", "ko")[i % 2],):
            ids = {int(NUM_ENTRIES ** coin(f"{key}{k}", 0, lang)) - 1 for k in range(1 + i % 4)}
            rows.append({
                "pair_id": key, "lang": lang, "url": url, "text": "x", "clean_text": "x", "lang_score": coin(key, 1, lang),
                "detector": "script", "mixed": i % 7 == 0, "entry_ids": sorted(ids),
            })  # fmt: skip
    return rows


def metadata(stage: OpenStage) -> None:
    notes = {}
    for lang in ("en", "ko"):
        frozen = save_list(
            [Entry(lang, f"{lang} {i}", "given") for i in range(NUM_ENTRIES)], stage.path, lang
        )
        notes[lang] = {"file": frozen.path.name, "sha256": frozen.sha256, "entries": frozen.size}
    stage.notes["lists"] = notes


def match(stage: OpenStage) -> None:
    (stage.path / "matches").mkdir()
    table = pa.Table.from_pylist(matches(1_200), schema=TABLES["matches"])
    for n in range(3):
        pq.write_table(table.slice(n * 500, 500), stage.path / "matches" / f"{n}.parquet")


def balanced(path: Path, parent: Path | None, **section: Any) -> Record:
    run = RunSection(path=path, parent=parent, seed=4, heldout_share=0.08)
    config = RunConfig(run=run, balance=BalanceSection(**section))
    for name, work in (("metadata", metadata), ("match", match)):
        run_stage(config, StageSpec(name=name, section=None, version=1, run_keys=RUN_KEYS), work)
    count.run(config)
    return balance.run(config)


def planned(capsys: pytest.CaptureFixture[str], path: Path, *args: str) -> dict[str, Any]:
    assert main(["--path", str(path), "--json", *args], Console()) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_plan_of_a_runs_own_t_is_what_the_stage_expects(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = balanced(tmp_path / "run", None, t={"en": 12.0}, margin=1.5)
    found = planned(capsys, tmp_path / "run")
    assert found["answer"]["downloaded"]["all"] == pytest.approx(record.notes["expected_pairs"], abs=2e-3)
    assert found["answer"]["t"] == record.notes["t"]
    assert found["answer"]["p"] == record.notes["p"]
    assert found["held_out_pairs"] == record.notes["held_out_pairs"]


def test_what_the_plan_solves_the_stage_keeps(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    balanced(tmp_path / "first", None, t={"en": 12.0}, margin=1.0)
    asked = ("--budget.en", "150", "--budget.ko", "220")
    found = planned(capsys, tmp_path / "first", *asked)
    again = balanced(tmp_path / "second", tmp_path / "first", t=found["given"], margin=1.0)
    assert again.notes["expected_pairs"] == pytest.approx(370, rel=0.005)
