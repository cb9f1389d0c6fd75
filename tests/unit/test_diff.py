"""`curate diff`: what two selections share, against sets; which entries gained and lost; what made them differ."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from auditrun import make_run
from tinymanifest import shapes_folder

from curation.audit.selections import open_place, read_chosen, settings_that_differ, shared, short_ids
from curation.cli import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("diff")
    make_run(folder / "a")
    make_run(folder / "b", t=4.0)
    return folder / "a", folder / "b"


def selected(run: Path) -> list[dict[str, Any]]:
    return [row for row in pq.read_table(run / "manifest/manifest.parquet").to_pylist() if row["selected"]]


def told(a: Path, b: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main(["diff", str(a), str(b), "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_is_shared_is_what_sets_say(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["of"]: row for row in told(*runs, capsys)["shared"]}
    ours, theirs = (selected(run) for run in runs)
    for of, column in (("pairs", "pair_id"), ("pictures", "image_id")):
        a, b = ({row[column] for row in side} for side in (ours, theirs))
        assert a != b
        assert rows[of] == {
            "of": of,
            "a": len(a),
            "b": len(b),
            "both": len(a & b),
            "jaccard": len(a & b) / len(a | b),
        }
    korean = [{row["pair_id"] for row in side if row["lang"] == "ko"} for side in (ours, theirs)]
    assert rows["pairs, ko"]["both"] == len(korean[0] & korean[1])


def test_entries_are_counted_in_both_lists_of_a_mixed_text(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    entries = (next(runs[0].glob("metadata/ko.*.txt"))).read_text().split("\n")
    found = told(*runs, capsys, "--entries", "1000")
    counts = []
    for run in runs:
        named = [
            entry
            for row in selected(run)
            for lang, ids in ((row["lang"], row["entry_ids"]), (row["mixed_lang"], row["mixed_entry_ids"]))
            if lang == "ko"
            for entry in ids
        ]
        counts.append({entries[entry]: named.count(entry) for entry in set(named)})
    assert found["matches"]["ko"] == {"a": sum(counts[0].values()), "b": sum(counts[1].values())}
    moved = found["entries"]["ko"]
    assert moved["lost"]
    for kind, sign in (("gained", 1), ("lost", -1)):
        changes = [sign * row["change"] for row in moved[kind]]
        assert changes == sorted(changes, reverse=True)
        assert all(change > 0 for change in changes)
        for row in moved[kind]:
            assert (row["a"], row["b"]) == tuple(count.get(row["entry"], 0) for count in counts)


def test_the_causes_are_named(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = told(*runs, capsys)
    assert {(row["key"], row["a"], row["b"]) for row in found["settings"]} == {("t.en", 8.0, 4.0)}
    same = {row["stage"]: row["same"] for row in found["outputs"]}
    assert same["match"]
    assert not same["balance"]
    assert {"stage": "balance", "of": "t en", "a": 8.0, "b": 4.0} in found["thresholds"]
    assert found["externals"] == []


def test_a_selection_and_itself_share_all(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(runs[0], runs[0] / "manifest", capsys)
    assert all(row["jaccard"] == 1 for row in found["shared"])
    assert all(not moved["gained"] and not moved["lost"] for moved in found["entries"].values())
    assert found["settings"] == []


def test_a_bare_manifest_is_compared_as_far_as_it_tells(
    runs: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = shapes_folder(tmp_path / "shapes")
    assert read_chosen(open_place(folder)).pairs["en"].size == 64
    for by in ("count", "share"):
        assert main(["diff", str(runs[0]), str(folder), "--by", by]) == 0
        shown = capsys.readouterr().out
        assert "Jaccard" in shown
        assert max(map(len, shown.splitlines())) <= max(80, len(str(tmp_path)) + 20)


def test_what_holds_no_selection_is_said_in_a_line(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run", pictures=10, until="extract")
    for place in (tmp_path / "none", tmp_path / "run"):
        assert main(["diff", str(runs[0]), str(place)]) == 2
        assert "holds no selection" in capsys.readouterr().err


def test_short_ids_and_sharing_of_nothing() -> None:
    assert short_ids(pa.array(["00000000000000ff" + "0" * 16])).tolist() == [255]
    assert shared([], []) == {"a": 0, "b": 0, "both": 0, "jaccard": 1.0}
    assert settings_that_differ({}, {}) == []
