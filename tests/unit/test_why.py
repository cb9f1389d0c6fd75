"""`curate why`: the life of a pair, wherever it ends, with numbers that are those of the run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from auditrun import make_run

from curation.audit.files import RunFiles
from curation.audit.find import Pair, find_pairs
from curation.audit.life import LEFT, NOT_RUN, Life, life_of
from curation.cli import main
from curation.stage import RECORD, sealed

MAIN = "manifest/manifest.parquet"


@pytest.fixture
def run(whole: Path) -> Path:
    return whole


def table(run: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(run / name).to_pylist()
    return rows


def life(run: Path, pair_id: str) -> Life:
    files = RunFiles(run)
    pairs, how = find_pairs(files, pair_id, 5)
    assert how == "pair_id"
    return life_of(files, pairs[0])


def test_every_pair_has_a_life_that_ends_where_the_tables_say_and_no_number_differs(run: Path) -> None:
    files = RunFiles(run)
    matched = {row["pair_id"] for row in table(run, "match/matches")}
    wanted = {row["pair_id"]: row for row in table(run, "balance/wanted")}
    ok = {row["url"] for row in table(run, "download/outcomes") if row["status"] == "ok"}
    sealed = {row["pair_id"]: row for row in table(run, MAIN)}
    ends = set()
    pairs = table(run, "extract/pairs")
    for row in pairs[:8] + pairs[8::3]:  # the first of them are odd
        key = row["pair_id"]
        found = life_of(files, Pair(key, row["url"], row["text"]))
        last = found.steps[-1]
        assert not [remark for step in found.steps for remark in step.remarks]
        expected = (
            "match" if key not in matched else "balance" if key not in wanted else "download" if row["url"] not in ok
            else "manifest" if key in sealed else "dedup"
        )  # fmt: skip
        assert last.stage == expected
        assert (last.state == LEFT) == (key not in sealed)
        if key in sealed:
            assert ("selected" in found.verdict and "not" not in found.verdict) == sealed[key]["selected"]
            by_stage = {step.stage: step for step in found.steps}
            assert by_stage["balance"].facts["keep_prob"] == wanted[key]["keep_prob"]
            assert by_stage["balance-survivors"].facts["keep_prob"] == sealed[key]["keep_prob"]
        ends.add(expected)
    assert ends >= {"match", "balance", "download", "manifest"}


def test_a_caption_that_was_merged_names_the_pair_that_has_it(run: Path) -> None:
    sealed = {row["pair_id"] for row in table(run, "dedup/rows")}
    groups = {row["image_id"] for row in table(run, "dedup/groups")}
    pictures = {row["url"]: row["image_id"] for row in table(run, "download/outcomes")}
    merged = [
        row["pair_id"]
        for row in table(run, "balance/wanted")
        if pictures[row["url"]] in groups and row["pair_id"] not in sealed
    ]
    assert merged
    told = life(run, merged[0]).verdict
    assert "merged into" in told
    assert told.split("merged into ")[1][:32] in sealed


@pytest.mark.parametrize(("text", "reason"), [("1234", "no_language"), ("les chiens sont dans le jardin avec leurs amis", "other_language"), ("nothing here is listed at all", "no_match")])  # fmt: skip
@pytest.mark.parametrize("keep_dropped", [False, True])
def test_why_a_text_was_not_matched_is_read_or_derived_again(
    text: str, reason: str, keep_dropped: bool, run: Path, tmp_path: Path
) -> None:
    path = run
    if keep_dropped:
        path = tmp_path / "run"
        make_run(path, pictures=20, until="match", keep_dropped=True)
    files = RunFiles(path)
    pairs, how = find_pairs(files, text, 5)
    assert (len(pairs), how) == (1, "text")
    step = life_of(files, pairs[0]).steps[-1]
    assert (step.stage, step.state, step.reason, step.remarks) == ("match", LEFT, reason, [])
    assert step.facts["reason"] == ("as recorded" if keep_dropped else f"as derived again: {reason}")


@pytest.mark.parametrize(
    ("until", "then"), [("extract", "match"), ("match", "count"), ("balance", "download")]
)
def test_an_unfinished_run_says_what_has_not_been_run(until: str, then: str, tmp_path: Path) -> None:
    make_run(tmp_path / "run", pictures=30, until=until)
    rows = table(tmp_path / "run", {"balance": "balance/wanted"}.get(until, "extract/pairs"))
    found = life(tmp_path / "run", rows[-1]["pair_id"])
    assert (found.steps[-1].stage, found.steps[-1].state) == (then, NOT_RUN)
    assert f"{then} has not been run" in found.verdict


def test_it_is_asked_by_id_start_of_id_address_picture_text_clean_text_or_part(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = next(row for row in table(run, MAIN) if row["text"] != row["caption"])
    files = RunFiles(run)
    asked = {
        "pair_id": row["pair_id"], "start of the pair_id": row["pair_id"][:9], "address": row["url"].replace("site", "SITE"),
        "picture": row["source_image_id"], "text": row["text"], "clean text": row["caption"], "part of the text": row["text"][3:-2],
    }  # fmt: skip
    for how, text in asked.items():
        pairs, by = find_pairs(files, text, 50)
        assert by == how
        assert row["pair_id"] in {pair.pair_id for pair in pairs}
    assert main(["why", "http://site0.test/0.png", "--path", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "3 pairs by address" in shown
    assert "left at match: no_language" in shown


def test_what_is_shown_fits_a_terminal_and_what_is_hostile_does_not_steer_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    place = copy / "extract/pairs/part-0.parquet"
    rows = pq.read_table(place)
    key = rows["pair_id"][0].as_py()
    texts = ["\x1b[2J[red]\u202eevil", *rows["text"].to_pylist()[1:]]
    pq.write_table(rows.set_column(rows.schema.get_field_index("text"), rows.schema.field("text"), pa.array(texts)), place)  # fmt: skip
    assert main(["why", key, "--path", str(copy)]) == 0
    shown = capsys.readouterr().out
    assert "[U+001B][2J[red][U+202E]evil" in shown
    assert max(len(line) for line in shown.splitlines() if "://" not in line) <= 80


def test_the_option_that_left_a_pair_out_is_named(tmp_path: Path) -> None:
    make_run(tmp_path / "run", options={"one_caption": True, "max_per_domain": 3})
    files, ends = RunFiles(tmp_path / "run"), set()
    for row in table(tmp_path / "run", MAIN):
        found = life_of(files, Pair(row["pair_id"], row["url"], row["text"]))
        assert not [remark for step in found.steps for remark in step.remarks]
        assert (found.verdict == "in the manifest, selected") == row["selected"]
        ends.add(found.verdict.rpartition(": ")[2])
    assert {"not_chosen", "over_domain_cap"} <= ends


def test_a_picture_without_a_descriptor_has_its_own_reason(run: Path, tmp_path: Path) -> None:
    """A network counts two reasons: which of them is a picture's, its bytes say."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    row = table(copy, MAIN)[0]
    place = next(one for one in table(copy, "download/outcomes") if one["url"] == row["url"])
    for file in (copy / "embed/descriptors").glob("*.parquet"):
        rows = pq.read_table(file)
        pq.write_table(rows.filter(pc.field("image_id") != place["image_id"]), file)
    shard, record = copy / "download/raw" / place["raw_shard"], copy / "embed" / RECORD

    def verdict(**dropped: int) -> str:
        data = json.loads(record.read_text())
        data["ledgers"][0]["dropped"] = dropped
        record.write_text(sealed(data))
        return life(copy, row["pair_id"]).verdict.removeprefix("left at embed: ")

    assert verdict(no_descriptor=1) == "no_descriptor"
    assert verdict(no_descriptor=2, undecodable_image=1) == "no_descriptor"
    assert verdict() == "no row; its bytes say no_descriptor, which was not counted"
    body = bytearray(shard.read_bytes())
    body[place["raw_offset"] : place["raw_offset"] + place["bytes"]] = bytes(place["bytes"])
    shard.write_bytes(body)
    assert verdict(no_descriptor=2, undecodable_image=1) == "undecodable_image"
    shard.unlink()
    assert verdict(no_descriptor=2, undecodable_image=1) == "no_descriptor or undecodable_image"
    assert verdict() == "no row, and no reason was counted"


def test_a_number_that_was_changed_is_said_to_differ(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    place = copy / "balance-survivors/selection/part-0.parquet"
    rows = pq.read_table(place)
    key = rows["pair_id"][0].as_py()
    changed = [0.123, *rows["keep_prob"].to_pylist()[1:]]
    pq.write_table(rows.set_column(1, rows.schema.field(1), pa.array(changed)), place)
    step = next(step for step in life(copy, key).steps if step.stage == "balance-survivors")
    assert any("keep_prob is recorded as 0.123" in remark for remark in step.remarks)


def test_json_has_the_same_numbers(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(row for row in table(run, MAIN) if row["selected"])
    assert main(["why", row["pair_id"], "--path", str(run), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    steps = {step["stage"]: step for step in told["steps"]}
    assert told["verdict"] == "in the manifest, selected"
    assert steps["balance-survivors"]["facts"]["keep_prob"] == row["keep_prob"]
    assert steps["manifest"]["facts"]["offset"] == row["offset"]
    assert {entry["entry_id"] for entry in steps["balance"]["entries"]} >= set(row["entry_ids"])


def test_what_extract_dropped_is_shown_where_it_was_kept(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run", pictures=10, until="extract", keep_dropped=True)
    assert main(["why", "a boat", "--path", str(tmp_path / "run")]) == 1
    assert "left: not_http" in capsys.readouterr().out
    assert main(["why", "a boat nobody drew", "--path", str(run)]) == 1
    assert "extract.keep_dropped" in capsys.readouterr().out
    assert main(["why", "x", "--path", str(tmp_path / "none")]) == 2
    assert "is not there" in capsys.readouterr().err
