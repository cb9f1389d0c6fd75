"""`curate why` of a pair that a removal list names: who named it, ids and decisions, and nothing of what was asked to be gone."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from auditrun import make_run

from curation.cli import main
from curation.report.gone import WITHHELD
from curation.report.why_removed import DOWNLOAD, HOLDERS, LIST, SEAL
from curation.schemas import TABLES

Row = dict[str, Any]
MAIN = "manifest/manifest.parquet"


@pytest.fixture
def run(whole: Path) -> Path:
    return whole


def table(run: Path, name: str) -> list[Row]:
    rows: list[Row] = pq.read_table(run / name).to_pylist()
    return rows


def listed(tmp_path: Path, *items: str) -> str:
    path = tmp_path / "removals.txt"
    path.write_text("\n".join(items), encoding="utf-8")
    return str(path)


def seal_without(run: Path, rows: list[Row], rule: str) -> None:
    """Make the manifest as a seal with a list leaves it."""
    gone = {row["pair_id"] for row in rows}
    for file in (run / MAIN).glob("*.parquet"):
        kept = [row for row in pq.read_table(file).to_pylist() if row["pair_id"] not in gone]
        pq.write_table(pa.Table.from_pylist(kept, TABLES["manifest"]), file)
    (run / "manifest/removed").mkdir()
    told = [{name: row.get(name, rule) for name in TABLES["removed"].names} for row in rows]
    pq.write_table(pa.Table.from_pylist(told, TABLES["removed"]), run / "manifest/removed/part-0.parquet")


def said(
    args: list[str], run: Path, capsys: pytest.CaptureFixture[str], *, status: int = 0
) -> tuple[str, Any]:
    """What the verb prints, with white space as single blanks, and its JSON."""
    assert main(["why", *args, "--path", str(run)]) == status
    shown = " ".join(capsys.readouterr().out.split())
    assert main(["why", *args, "--path", str(run), "--json"]) == status
    return shown, json.loads(capsys.readouterr().out)


def texts_of(run: Path, row: Row) -> set[str]:
    """All that gives a pair away, wherever it stands: texts, addresses, the entries that its text names."""
    found = {row["url"], row["text"], row["caption"]}
    found |= {item["page_url"] for item in table(run, "extract/pairs") if item["pair_id"] == row["pair_id"]}
    names = {(item["lang"], item["entry_id"]): item["entry"] for item in table(run, "metadata/entries")}
    entries = {names[row["lang"], one] for one in row["entry_ids"]}
    return found | {entry for entry in entries if len(entry) > 2}  # "a" stands in our own sentences too


def leaks(output: str, texts: set[str]) -> list[str]:
    """The texts that an output holds as words of their own."""
    return [text for text in texts if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", output)]


def one(run: Path) -> Row:
    """A selected pair whose picture came from its own address, its texts long enough to be searched for."""
    return next(row for row in table(run, MAIN) if row["selected"] and not row["inherited"])


@pytest.mark.parametrize("rule", ["url", "domain", "image"])
def test_a_listed_pair_is_told_by_ids_and_decisions_alone(
    rule: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = one(run)
    before, told_before = said([row["pair_id"]], run, capsys)
    assert leaks(before, texts_of(run, row)) == leaks(json.dumps(told_before, ensure_ascii=False), texts_of(run, row)) != []  # fmt: skip
    assert told_before["removed"] == []
    item = {"url": row["url"], "domain": row["url"].split("/")[2], "image": row["source_image_id"]}[rule]
    shown, told = said([row["pair_id"], "--removals", listed(tmp_path, item)], run, capsys)
    for output in (shown, json.dumps(told, ensure_ascii=False)):
        assert not leaks(output, texts_of(run, row))
        assert f"removed by {LIST} ({rule}); in the manifest, selected" in output
    assert told["removed"] == [{"rule": rule, "by": LIST}]
    assert (told["pair_id"], told["url"], told["text"]) == (row["pair_id"], WITHHELD, WITHHELD)
    assert told["held_in"] == list(HOLDERS)
    assert ", ".join(HOLDERS) in shown
    numbers = [{key: step["facts"].get(key) for key in ("keep_prob", "coin", "image_id", "offset")} for step in told["steps"]]  # fmt: skip
    assert numbers == [{key: step["facts"].get(key) for key in numbers[0]} for step in told_before["steps"]]
    ids = [[entry["entry_id"] for entry in step["entries"]] for step in told["steps"]]
    assert ids == [[entry["entry_id"] for entry in step["entries"]] for step in told_before["steps"]]
    assert any(ids)


def test_the_list_of_the_configuration_counts_as_one_that_is_given(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = one(run)
    file = tmp_path / "run.toml"
    file.write_text(f'[run]\nremovals = ["{listed(tmp_path, row["url"])}"]\n')
    shown, told = said([row["pair_id"], "--config", str(file)], run, capsys)
    assert told["removed"] == [{"rule": "url", "by": LIST}]
    assert row["url"] not in shown


def test_a_caption_of_a_picture_without_any_address_left_is_removed_as_the_seal_would(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = next(row for row in table(run, MAIN) if row["inherited"])
    own = {
        other["url"] for other in table(run, MAIN)
        if other["image_id"] == other["source_image_id"] == row["image_id"]
    }  # fmt: skip
    assert row["url"] not in own
    _, told = said([row["pair_id"], "--removals", listed(tmp_path, *own)], run, capsys)
    assert told["removed"] == [{"rule": "picture", "by": LIST}]
    assert told["text"] == WITHHELD


def test_what_the_seal_left_out_is_not_shown_without_a_list_either(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    row = one(run)
    seal_without(copy, [row], "image")
    for asked in (row["pair_id"], row["text"]):
        shown, told = said([asked], copy, capsys)
        held = [told] if "steps" in told else [pair for pair in told["pairs"] if pair["pair_id"] == row["pair_id"]]  # fmt: skip
        assert [pair["text"] for pair in held] == [pair["url"] for pair in held] == [WITHHELD]
        assert held[0]["removed"] == [{"rule": "image", "by": SEAL}]
        assert row["url"] not in shown
        assert f"removed by {SEAL} (image); left at manifest: removed" in shown
    alone = copy / "manifest"  # the tables before it deleted, the id is still answered
    shown, told = said([row["pair_id"]], alone, capsys, status=1)
    assert [gone["rule"] for gone in told["removed"]] == ["image"]
    assert f"{row['pair_id']} removed by {SEAL} (image)" in shown


def test_an_address_that_the_download_left_alone_is_not_shown(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    row = one(run)
    place = copy / "download/outcomes/part-0.parquet"
    refused = {"status": "dropped", "reason": "removed", "detail": "domain in the removal list"}
    blank = {"image_id": None, "raw_shard": None}
    rows = [item | (refused | blank if item["url"] == row["url"] else {}) for item in pq.read_table(place).to_pylist()]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, TABLES["outcomes"]), place)
    shown, told = said([row["pair_id"]], copy, capsys)
    assert told["removed"] == [{"rule": "domain", "by": DOWNLOAD}]
    assert "left at download: removed" in told["verdict"]
    assert not leaks(shown, {row["url"], row["text"], row["caption"]})
    assert told["held_in"] == ["extract", "match", "balance", "download"]


def test_in_a_list_of_pairs_those_that_are_named_are_withheld_and_the_others_shown(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = one(run)
    part = row["text"][-6:-1]  # the colour and a digit: some others have it too
    every, _ = said([part, "--limit", "100"], run, capsys)
    shown, told = said([part, "--limit", "100", "--removals", listed(tmp_path, row["url"])], run, capsys)
    assert row["url"] in every
    assert row["url"] not in shown
    named = {pair["pair_id"] for pair in told["pairs"] if pair["removed"]}
    assert row["pair_id"] in named
    assert {pair["pair_id"] for pair in told["pairs"] if pair["text"] == WITHHELD} == named
    assert len(told["pairs"]) > len(named)


def test_a_candidate_that_extract_dropped_is_withheld_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run", pictures=10, until="extract", keep_dropped=True)
    place = next((tmp_path / "run/extract/dropped").glob("*.parquet"))
    rows = pq.read_table(place)
    url = "https://gone.example/a.png"
    changed = pa.array([url] * rows.num_rows, pa.string())
    pq.write_table(rows.set_column(rows.schema.get_field_index("url"), "url", changed), place)
    shown, told = said(["a boat", "--removals", listed(tmp_path, "gone.example")], tmp_path / "run", capsys, status=1)  # fmt: skip
    assert "left: not_http" in shown
    assert url not in shown
    assert [row["text"] for row in told["dropped"]] == [WITHHELD] * len(told["dropped"]) != []
