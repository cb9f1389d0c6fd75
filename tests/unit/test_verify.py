"""`curate verify`: a run that is whole has no fault; one changed byte, wherever it is, is found and named; so is a wrong decision."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from auditrun import make_run
from tablefiles import write_checksums

from curation.audit.files import RunFiles
from curation.audit.findings import MAX_FAULTS, Findings
from curation.audit.hashes import changed_blocks
from curation.audit.records import check_records
from curation.cli import main
from curation.digest import table_digest
from curation.ids import coin
from curation.report.verify import VerifyOptions, verify
from curation.schemas import stable_columns
from curation.stage import RECORD, sealed

STAGES = (
    "extract",
    "metadata",
    "match",
    "count",
    "balance",
    "download",
    "embed",
    "neighbours",
    "dedup",
    "manifest",
)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def faults_of(path: Path, share: float = 0.1) -> list[str]:
    return [f"{fault.where}: {fault.what}" for fault in verify(VerifyOptions(run=path, share=share)).faults]


def flip(path: Path, position: int, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= bit
    path.write_bytes(data)


def edit_record(stage: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record and seal it again, as one who means to would."""
    data = json.loads((stage / RECORD).read_text())
    change(data)
    (stage / RECORD).write_text(sealed(data))


def edit_table(stage: Path, name: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change rows of a table, and its digest and seal with them: only deriving it again can tell."""
    files = sorted((stage / name).glob("*.parquet"))
    tables = [pq.read_table(file) for file in files]
    rows = [row for table in tables for row in table.to_pylist()]
    change(rows)
    schema = tables[0].schema
    for file in files:
        file.unlink()
        file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
    written = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(written, files[0])
    number, digest = table_digest(written.to_batches(), stable_columns(name))
    edit_record(stage, lambda data: data["tables"][name].update(rows=number, digest=digest))


def test_a_run_that_is_whole_has_no_fault_and_all_of_it_was_looked_at(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(whole), "--share", "1"]) == 0
    assert "no fault" in capsys.readouterr().out
    assert main(["verify", str(whole), "--share", "1", "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)["checked"]
    pairs = pq.read_table(whole / "extract" / "pairs").num_rows
    assert checked["texts matched again"] == checked["ids derived again"] == pairs
    assert (
        checked["manifest rows derived again"] == pq.read_table(whole / "manifest/manifest.parquet").num_rows
    )
    assert checked["records"] == 12
    assert checked["sealed pictures"] > 50


@pytest.mark.parametrize(
    ("file", "positions"),
    [
        ("manifest/shards/train-00000.tar", 6),
        ("manifest/manifest.parquet/00000.parquet", 4),
        ("balance/wanted/part-0.parquet", 5),  # with Spark's checksums beside it
        ("metadata/en.*.txt", 2),
        ("metadata/entries/entries.parquet", 4),  # footer, statistics and scores too
        ("count/counts/part-0.parquet", 4),
        ("download/raw/0.tar", 3),
        ("manifest/shards/sizes.json", 2),
    ],
)
def test_one_changed_byte_of_a_file_is_found_and_named(run: Path, file: str, positions: int) -> None:
    path = next(run.glob(file))
    whole = path.read_bytes()
    for n in range(positions):
        position = int(coin(f"{file}{n}", 0, "flip") * len(whole))
        flip(path, position)
        told = faults_of(run, 0.02)
        assert any(fault.startswith(str(path.relative_to(run))) for fault in told), (position, told)
        path.write_bytes(whole)
    assert faults_of(run, 0.02) == []


@pytest.mark.parametrize("stage", STAGES)
def test_one_changed_byte_of_a_record_is_found_and_named(run: Path, stage: str) -> None:
    path = run / stage / RECORD
    whole = path.read_bytes()
    for n in range(60):
        flip(path, position := int(coin(f"{stage}{n}", 0, "flip") * len(whole)), bit=1 << n % 8)
        found = Findings()
        check_records(RunFiles(run), found)
        assert any(stage in fault.where and RECORD in fault.where for fault in found.faults), position
        path.write_bytes(whole)


def test_a_record_that_cannot_be_trusted_is_a_fault_and_no_end_of_the_audit(run: Path) -> None:
    path = run / "balance" / RECORD
    path.write_text(path.read_text().replace('"en": 8.0', '"un": 8.0'))
    found = verify(VerifyOptions(run=run))
    assert any("seal does not fit" in fault.what for fault in found.faults)
    assert any("nothing was derived again from balance" in remark for remark in found.remarks)
    path.write_text("{}")
    assert any("it lacks stage" in fault for fault in faults_of(run))


@pytest.mark.parametrize(("table", "stage"), [("pairs", "extract"), ("matches", "match"), ("rows", "dedup"), ("counts", "count")])  # fmt: skip
def test_a_changed_value_of_a_table_is_found_by_its_digest_though_no_file_has_a_hash(
    run: Path, table: str, stage: str
) -> None:
    place = run / stage / table / "part-1.parquet"
    rows = pq.read_table(place)
    column = "lang" if table == "counts" else "url"
    changed = [value + "x" if n == 3 else value for n, value in enumerate(rows[column].to_pylist())]
    pq.write_table(rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), pa.array(changed)), place)  # fmt: skip
    assert any(fault.startswith(f"{stage}/{table}: its digest") for fault in faults_of(run, 0))


def test_the_picture_or_member_of_a_shard_that_was_changed_is_named(run: Path) -> None:
    rows = pq.read_table(run / "manifest/manifest.parquet").to_pylist()
    row = next(row for row in rows if row["shard"] == "shards/train-00001.tar")
    path = run / "manifest" / row["shard"]
    body = path.read_bytes()
    cases = [
        (row["offset"] + 5, f"are not picture {row['image_id']}"),
        (body.index(b'"captions"', row["offset"]), f"{row['image_id']}.json is not what the manifest says"),
        (len(body) - 1, "every picture in it is whole"),
    ]
    for position, told in cases:
        flip(path, position)
        assert any(told in fault and "train-00001.tar" in fault for fault in faults_of(run, 0))
        path.write_bytes(body)


def test_what_is_missing_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "manifest/shards/train-00000.tar").unlink()
    (run / "balance/wanted/part-1.parquet").unlink()
    shutil.rmtree(run / "match")
    assert main(["verify", str(run), "--json"]) == 1
    faults = {fault["where"]: fault["what"] for fault in json.loads(capsys.readouterr().out)["faults"]}
    assert "is not there" in faults["manifest/shards/train-00000.tar"]
    assert "rows, recorded" in faults["balance/wanted"]
    assert "stage match, whose record is not there" in faults[f"count/{RECORD}"]


@pytest.mark.parametrize(
    ("stage", "table", "column", "value"),
    [
        ("extract", "pairs", "text", "another text"),
        ("match", "matches", "clean_text", "a red cross"),
        ("match", "matches", "entry_ids", [0]),
        ("match", "matches", "lang_score", 0.123),
        ("count", "counts", "count", 99),
        ("count-survivors", "counts", "weight", 5),
        ("balance", "wanted", "keep_prob", 0.7777),
        ("balance", "wanted", "coin", 0.0001),
        ("dedup", "rows", "split", "another"),
        ("dedup", "rows", "source_image_id", "0" * 64),
        ("balance-survivors", "selection", "keep_prob", 0.7777),
        ("balance-survivors", "selection", "selected", None),
    ],
)
def test_a_wrong_decision_is_found_by_deriving_it_again_though_digests_and_seals_fit(
    run: Path, stage: str, table: str, column: str, value: object
) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows[5:25]:
            row[column] = (not row[column]) if value is None else value

    edit_table(run / stage, table, change)
    told = [fault for fault in faults_of(run, 1) if not fault.split(":")[0].endswith(RECORD)]
    assert any(
        (fault.startswith(f"{stage}/{table}") and column in fault) or "is not the id" in fault
        for fault in told
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cosine": 0.99}, "and their cosine is 0.97"),
        ({"near": "0" * 64, "joined": "0" * 64}, "and no near pair of them is among the edges"),
        ({"joined": "0" * 64}, f"it joined {'0' * 64}, and is near"),
        ({"rule": "identical_descriptor"}, "its descriptor is not that of"),
        ({"survivor": True}, "it is a survivor, by rule near_descriptor"),
        ({"survivor": True, "rule": "survivor"}, "it is kept, and near"),
    ],
)
def test_a_group_that_no_near_pair_made_is_found(run: Path, change: dict[str, Any], told: str) -> None:
    def damage(rows: list[dict[str, Any]]) -> None:
        next(row for row in rows if row["rule"] == "near_descriptor").update(change)

    edit_table(run / "dedup", "groups", damage)
    faults = [fault for fault in faults_of(run, 1) if fault.startswith("dedup/groups: ")]
    assert any(told in fault for fault in faults)


def group_faults(run: Path) -> list[str]:
    return [fault for fault in faults_of(run, 1) if fault.startswith("dedup/groups: ")]


@pytest.mark.parametrize(("agreement", "agrees"), [(0.5, True), (0.499, False), (None, False)])
def test_only_a_pair_whose_second_look_agrees_is_near_for_the_audit(
    run: Path, agreement: float | None, agrees: bool
) -> None:
    groups = pq.read_table(run / "dedup/groups").to_pylist()
    kept = sorted(row["image_id"] for row in groups if row["survivor"])[:2]
    dropped = sum(row["rule"] == "near_descriptor" for row in groups)

    def look(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["agreement"] = agreement

    edit_record(run / "neighbours", lambda data: data["notes"]["search"].update(agreement_bound=0.5))
    edit_table(run / "neighbours", "edges", look)
    assert len(group_faults(run)) == (0 if agrees else dropped)

    def meet(rows: list[dict[str, Any]]) -> None:
        rows[:] = [row for row in rows if [row["image_id_a"], row["image_id_b"]] != kept]
        rows.append({"image_id_a": kept[0], "image_id_b": kept[1], "cosine": 0.99, "agreement": agreement})

    edit_table(run / "neighbours", "edges", meet)
    met = [fault for fault in group_faults(run) if "it is kept, and near" in fault]
    assert len(met) == (2 if agrees else 0)


def test_a_picture_that_is_kept_beside_one_of_an_earlier_crawl_is_found(run: Path) -> None:
    groups = pq.read_table(run / "dedup/groups").to_pylist()
    kept = next(row["image_id"] for row in groups if row["survivor"])
    old = {"image_id_a": kept, "image_id_b": "f" * 64, "cosine": 0.96}
    edit_table(run / "neighbours", "edges", lambda rows: rows.append(old))
    assert group_faults(run) == [f"dedup/groups: {kept}: it is kept, and near {'f' * 64}, which is kept too"]


def test_rows_that_were_put_in_or_taken_out_are_found(run: Path) -> None:
    edit_table(run / "balance", "wanted", lambda rows: rows.pop(7))
    assert any("rows there, derived again 1" in fault for fault in faults_of(run, 1))


def test_a_threshold_that_was_noted_otherwise_is_found(run: Path) -> None:
    edit_record(run / "balance", lambda data: data["notes"]["t"].update(ko=77.0))
    told = faults_of(run, 0)
    assert any("t is noted as" in fault for fault in told)
    assert any("notes is not what summary.json says" in fault for fault in told)


def test_a_record_made_from_another_input_or_with_an_open_sum_is_found(run: Path) -> None:
    edit_record(run / "count", lambda data: data["inputs"].update(match="0" * 64))
    edit_record(run / "dedup", lambda data: data["ledgers"][0].update(out=1))
    edit_record(run / "match", lambda data: data["config"].update(max_chars=7))
    told = " ".join(faults_of(run, 0))
    assert "made from another match" in told
    assert "accounted for" in told
    assert "config_hash is not the hash" in told


def test_a_record_without_a_seal_is_held_by_its_form_and_those_that_stand_on_it(run: Path) -> None:
    for path in run.glob(f"*/{RECORD}"):
        data = json.loads(path.read_text())
        del data["sha256"]
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    found = verify(VerifyOptions(run=run))
    assert found.faults == []
    assert any("without a seal" in remark for remark in found.remarks)
    text = (run / "match" / RECORD).read_text()
    (run / "match" / RECORD).write_text(text.replace('"seconds": ', '"seconds": 1'))
    assert any("seconds is not what summary.json says" in fault for fault in faults_of(run, 0))


@pytest.mark.parametrize(
    "options", [{"one_caption": True}, {"max_per_image": 1}, {"max_per_domain": 3, "one_caption": True}]
)
def test_what_draws_and_caps_left_out_is_derived_again_with_the_runs_seed(
    options: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    make_run(run, options=options)
    found = verify(VerifyOptions(run=run))
    assert found.faults == []
    rows = pq.read_table(run / "balance-survivors/selection").to_pylist()
    assert found.checked["caps derived again"] == len(rows)
    coins = {row["pair_id"]: row for row in pq.read_table(run / "dedup/rows").to_pylist()}
    out = [
        row["pair_id"] for row in rows
        if not row["selected"] and coins[row["pair_id"]]["coin"] < row["keep_prob"]
        and coins[row["pair_id"]]["split"] == "train"
    ]  # fmt: skip
    assert out  # left out by an option, though it won its toss
    edit_table(
        run / "balance-survivors",
        "selection",
        lambda rows: [row.update(selected=True) for row in rows if row["pair_id"] == out[0]],
    )
    assert any(f"{out[0]} is selected, derived again" in fault for fault in faults_of(run))


def test_a_manifest_by_itself_can_be_verified(whole: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(whole / "manifest", tmp_path / "published"))
    found = verify(VerifyOptions(run=copy, share=1))
    assert found.faults == []
    assert found.checked["sealed pictures"] > 50
    flip(copy / "shards/train-00000.tar", 700)
    assert faults_of(copy)


@pytest.mark.parametrize("until", ["match", "download", "balance-survivors"])
def test_an_unfinished_run_is_verified_as_far_as_it_is(until: str, tmp_path: Path) -> None:
    make_run(tmp_path / "run", pictures=40, until=until)
    assert faults_of(tmp_path / "run", 1) == []


def test_what_is_no_run_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "is not there" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 2
    assert "holds no finished stage" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["verify", str(tmp_path), "--share", "2"])
    assert "a share in [0, 1]" in capsys.readouterr().err


def test_a_block_that_differs_from_sparks_checksums_is_named(tmp_path: Path) -> None:
    file = tmp_path / "part-0.parquet"
    file.write_bytes(bytes(1300))
    assert changed_blocks(file) == []
    write_checksums(file)
    assert changed_blocks(file) == []
    flip(file, 600)
    assert changed_blocks(file) == [(512, 1023)]
    file.write_bytes(bytes(400))
    assert changed_blocks(file)


def test_of_very_many_faults_the_rest_is_counted() -> None:
    found = Findings()
    for n in range(MAX_FAULTS + 30):
        found.fault("a table", str(n))
    assert len(found.faults) == MAX_FAULTS
    assert found.more() == {"a table": 30}
