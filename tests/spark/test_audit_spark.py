"""What Spark wrote, `verify` derives again without Spark; `why` and `diff` read it; caps and other selections too."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from curation import pipeline
from curation.audit.files import RunFiles
from curation.audit.find import find_pairs
from curation.audit.findings import Findings
from curation.audit.hashes import check_hashes
from curation.audit.life import life_of
from curation.cli import main
from curation.config import BalanceSection, RunConfig
from curation.ids import coin
from curation.report.verify import VerifyOptions, verify
from curation.spark.selection import SelectOptions, select

pytestmark = pytest.mark.slow


def faults_of(path: Path) -> list[str]:
    return [f"{fault.where}: {fault.what}" for fault in verify(VerifyOptions(run=path, share=1)).faults]


def test_a_run_of_spark_is_derived_again_whole_without_spark(sealed: RunConfig) -> None:
    found = verify(VerifyOptions(run=sealed.run.path, share=1))
    assert found.faults == []
    pairs = sum(file.metadata.num_rows for file in map(pq.ParquetFile, (sealed.run.path / "extract/pairs").glob("*.parquet")))  # fmt: skip
    assert found.checked["texts matched again"] == pairs
    assert found.checked["survivors joined again"] > 50


def test_one_changed_byte_anywhere_in_sparks_own_files_is_found(sealed: RunConfig, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sealed.run.path, tmp_path / "run"))
    file = max((copy / "match/matches").glob("part-*.parquet"), key=lambda path: path.stat().st_size)
    whole = file.read_bytes()
    for position in (2, len(whole) // 2, len(whole) - 40):  # magic, values, footer: statistics among it
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        told = [fault for fault in faults_of(copy) if file.name in fault]
        assert any("were changed" in fault for fault in told)


def test_one_changed_byte_of_the_tables_that_are_no_sparks_is_found(
    sealed: RunConfig, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(sealed.run.path, tmp_path / "run"))
    for name in (
        "count/counts/counts.parquet",
        "count-survivors/counts/counts.parquet",
        "metadata/entries/entries.parquet",
    ):
        file = copy / name
        whole = file.read_bytes()
        for n in range(8):
            position = int(coin(f"{name}{n}", 0, "flip") * len(whole))
            file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            found = Findings()
            check_hashes(RunFiles(copy), found)
            assert any(fault.where == name for fault in found.faults), position
        file.write_bytes(whole)


def test_caps_and_draws_are_derived_again_and_why_names_them(
    sealed: RunConfig, spark: SparkSession, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(sealed.run.path, tmp_path / "run"))
    capped = replace(
        sealed,
        run=replace(sealed.run, path=copy, on_existing="overwrite"),
        balance=replace(sealed.balance, one_caption=True, max_per_domain=9),
    )
    for name in ("balance-survivors", "manifest"):
        pipeline.run_one(capped, name)
    pipeline.write_summary(capped)
    assert faults_of(copy) == []
    files, ends = RunFiles(copy), set()
    for row in pq.read_table(copy / "manifest/manifest.parquet").to_pylist():
        found = life_of(files, find_pairs(files, row["pair_id"], 1)[0][0])
        assert not [remark for step in found.steps for remark in step.remarks]
        assert (found.verdict == "in the manifest, selected") == row["selected"]
        ends.add(found.verdict.rpartition(": ")[2])
    assert {"not_chosen", "over_domain_cap"} <= ends


def test_another_selection_is_verified_and_compared(
    sealed: RunConfig, spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "other"
    folder = sealed.run.path / "manifest"
    record = select(SelectOptions(manifest=(folder,), out=out), BalanceSection(t={"en": 3.0}), sealed.spark)
    assert faults_of(out) == []
    assert main(["diff", str(sealed.run.path), str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shared"][-2]["b"] == record.notes["selected_pairs"]
    assert {"stage": "balance-survivors", "key": "t.en", "a": 6.0, "b": 3.0} in found["settings"]
    assert found["entries"]["en"]["lost"]
    assert not any(row["entry"].startswith("#") for row in found["entries"]["en"]["lost"])
    file = next((out / "selection.parquet").glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-9] + b"x" + file.read_bytes()[-8:])
    assert any(file.name in fault for fault in faults_of(out))
