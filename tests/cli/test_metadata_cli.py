"""`curate metadata`: default lists for a newcomer, where an entry comes from, what two lists differ in."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.cli import main
from metadata.default import recorded


@pytest.fixture
def lists(tmp_path: Path) -> list[str]:
    """Two files of entries that differ in all ways, and a run of the first."""
    rows = [("en", "dog", "wordnet", 7.0), ("en", "hot dog", "bigram", 9.5), ("en", "[red]", "title", 12.0)]
    changed = [("en", "cat", "title", 3.0), ("en", "hot dog", "wordnet", 1.0), ("en", "dog", "wordnet", 8.0)]
    for name, part in (("a", rows), ("b", changed)):
        columns = dict(
            zip(("lang", "entry", "source", "score"), map(list, zip(*part, strict=True)), strict=True)
        )
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    files = [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    assert (
        main(["metadata", "--path", str(tmp_path / "run"), "--languages", "en", "--entries", files[0]]) == 0
    )
    return files


def test_without_a_configuration_the_packages_own_lists_are_frozen(
    run_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["metadata", "build", "--path", str(run_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["notes"]["lists"]
    assert {lang: note["sha256"] for lang, note in found.items()} == {
        lang: note["sha256"] for lang, note in recorded().items()
    }
    assert main(["metadata", "show", "고양이", "--path", str(run_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["found"][0]["lang"] == "ko"


def test_given_lists_start_no_java(run_path: Path, tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("dog\n")
    code = (
        "import sys\nfrom curation.cli import main\n"
        f"main(['metadata', '--path', {str(run_path)!r}, '--languages', 'en', '--entries', {str(tmp_path / 'en.txt')!r}])\n"
        "sys.exit('pyspark' if 'pyspark' in sys.modules else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


def test_help_names_the_other_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["metadata", "--help"], ["metadata", "build", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(args)
        assert caught.value.code == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "curate metadata show TEXT" in shown
        assert "curate metadata diff A B" in shown
    for verb, option in (("show", "--near"), ("diff", "--samples")):
        with pytest.raises(SystemExit):
            main(["metadata", verb, "--help"])
        assert option in capsys.readouterr().out


def test_show_says_where_an_entry_came_from(
    lists: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for place in (tmp_path / "run", tmp_path / "run" / "metadata", Path(lists[0])):
        assert main(["metadata", "show", "hot dog", "--path", str(place)]) == 0
        shown = capsys.readouterr().out
        assert "bigram 9.50" in shown
    assert main(["metadata", "show", "[red]", "--path", str(tmp_path / "run")]) == 0
    assert "[red]" in capsys.readouterr().out
    assert main(["metadata", "show", "Dog", "--path", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["found"] == []
    assert [(near["how"], near["entry"]) for near in found["near"]] == [
        ("case", "dog"),
        ("contains", "hot dog"),
    ]


def test_show_counts_where_the_run_has_counted(
    lists: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    lists_digest = _digest(run)
    (run / "count" / "counts").mkdir(parents=True)
    counts = {
        "lang": ["en"] * 3,
        "entry_id": pa.array([0, 1, 2], pa.int32()),
        "count": [40, 5, 0],
        "weight": [0, 0, 0],
    }
    pq.write_table(pa.table(counts), run / "count" / "counts" / "counts.parquet")
    (run / "count" / "_stage.json").write_text(json.dumps({"inputs": {"metadata": lists_digest}}))
    (run / "balance").mkdir()
    notes = {"t": {"en": 10.0}, "margin": 2.0}
    (run / "balance" / "_stage.json").write_text(json.dumps({"notes": notes}))
    capsys.readouterr()
    assert main(["metadata", "show", "dog", "--path", str(run), "--json"]) == 0
    (counted,) = json.loads(capsys.readouterr().out)["found"][0]["counts"]
    assert (counted["count"], counted["t"], counted["entry_prob"]) == (40, 20.0, 0.5)
    (run / "count" / "_stage.json").write_text(json.dumps({"inputs": {"metadata": "of another list"}}))
    assert main(["metadata", "show", "dog", "--path", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["found"][0]["counts"] == []


def _digest(run: Path) -> str:
    from curation.stage import read_record

    return read_record(run / "metadata").digest


def test_diff_says_what_came_went_moved_and_changed(
    lists: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["metadata", "diff", str(tmp_path / "run"), lists[1]]) == 0
    shown = capsys.readouterr().out
    assert "only a, title: [red]" in shown
    assert "only b, title: cat" in shown
    assert "hot dog bigram > wordnet" in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if str(tmp_path) not in line)
    assert main(["metadata", "diff", str(tmp_path / "run"), lists[1], "--json"]) == 0
    (english,) = json.loads(capsys.readouterr().out)["languages"]
    by_source = {row.pop("source"): row for row in english["by_source"]}
    assert by_source["title"] == {"only_a": 1, "only_b": 1, "moved": 0, "sources": 0, "scores": 0}
    assert by_source["wordnet"]["sources"] == 1
    assert by_source["wordnet"]["scores"] == 1
    assert by_source["wordnet"]["moved"] == 1
    assert main(["metadata", "diff", str(tmp_path / "run"), lists[0]]) == 0
    assert "the same list" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["show", "dog", "--path", "none"], "none holds no entry lists"),
        (["show", " ", "--path", "{a}"], "empty"),
        (["diff", "{a}", "none.parquet"], "none.parquet holds no entry lists"),
        (["diff", "{a}", "{folder}"], "holds no finished stage"),
    ],
)
def test_a_mistake_is_one_clear_line_and_status_2(
    args: list[str], told: str, lists: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    given = [arg.format(a=lists[0], folder=tmp_path) for arg in args]
    assert main(["metadata", *given]) == 2
    assert told in capsys.readouterr().err


def test_the_packages_own_lists_can_be_looked_into_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metadata", "show", "강아지", "--path", "default", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["found"][0]["lang"] == "ko"
