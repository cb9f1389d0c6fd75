"""What a person meets on the command line: help, mistakes, a dry run, a stage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from curation import pipeline
from curation.cli import UNREAD, main, parse
from curation.pipeline import STAGES


@pytest.fixture
def lists(tmp_path: Path) -> list[str]:
    (tmp_path / "en.txt").write_text("dog\ncat\ndog\n")
    (tmp_path / "ko.txt").write_text("강아지\n고양이\n")
    return [str(tmp_path / "en.txt"), str(tmp_path / "ko.txt")]


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in (*STAGES, "run", "demo"))


@pytest.mark.parametrize("verb", [*STAGES, "run"])
def test_every_verb_explains_its_options_and_documents_each(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "--config" in shown
    assert "--on-existing" in shown


def helped(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("named", [["--manifest", "none"], ["--manifest=none"], ["--manifest"]])
def test_help_for_another_selection_needs_no_manifest(
    named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for args in ([*named, "--help"], ["-h", *named]):
        shown = helped(["balance", *args], capsys)
        assert "Directory of the selection" in shown
        assert "--budget.ko" in shown
    if named != ["--manifest"]:
        assert main(["balance", *named]) == 2
        assert "holds no manifest" in capsys.readouterr().err


def test_each_form_of_balance_tells_of_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    stage, selection = helped(["balance", "-h"], capsys), helped(["balance", "--manifest", "m", "-h"], capsys)
    assert "curate balance --manifest FOLDER --out DIR" in stage
    assert "'curate balance' without --manifest is the stage of a run" in selection
    assert "--margin" in stage
    assert "--margin" not in selection


@pytest.mark.parametrize("made", [False, True])
def test_a_report_of_nothing_is_refused_and_leaves_nothing(
    run_path: Path, capsys: pytest.CaptureFixture[str], *, made: bool
) -> None:
    if made:
        run_path.mkdir()
        (run_path / "notes.txt").write_text("of somebody else")
    assert main(["report", "--path", str(run_path)]) == 2
    told = capsys.readouterr().err
    assert str(run_path) in told
    assert ("holds no finished stage" if made else "is not there") in told
    assert [path.name for path in run_path.rglob("*")] == (["notes.txt"] if made else [])


def test_nothing_of_a_stage_is_imported_for_help() -> None:
    code = (
        "import sys\nfrom curation.cli import main\nmain([])\n"
        "heavy = {'pyspark', 'torch', 'fasttext', 'faiss', 'img2dataset', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["matches"], "no verb is called 'matches'"),
        (["match", "--config", "none.toml"], "none.toml"),
        (["metadata", "shw"], "there are build, diff, show"),
        (["metadata", "--entries", "none.parquet"], "none.parquet"),
        (["count"], "run 'curate metadata' first"),
        (["run", "--until", "matching"], "matching"),
    ],
)
def test_a_mistake_is_one_clear_line_and_status_2(
    args: list[str], told: str, run_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ["--path", str(run_path)] if args[0] in STAGES or args[0] == "run" else []
    assert main([*args, *path]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert told in shown
    assert "Traceback" not in shown


def test_a_network_that_cannot_be_used_is_told_before_the_first_stage(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "sscd.pt"
    run = ["run", "--path", str(run_path), "--embed.kind", f"torchscript:{weights}", "--until"]
    assert main([*run, "neighbours"]) == 2
    assert f"there is no file {weights}" in capsys.readouterr().err
    weights.write_bytes(b"")
    monkeypatch.setattr(pipeline, "find_spec", lambda name: None if name == "torch" else object())
    assert main([*run, "neighbours"]) == 2
    assert "embed.kind needs 'torch', which the extra [train] installs" in capsys.readouterr().err
    assert not run_path.exists()
    assert main([*run, "metadata"]) == 2  # it has no pairs to read, and nothing to say of a network
    assert "torch" not in capsys.readouterr().err


def test_a_mistyped_option_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["match", "--max-char", "5"])
    assert "--max-chars" in capsys.readouterr().err


def test_options_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[run]\nseed = 7\n[match]\nmax_chars = 100\nmin_chars = 2\n")
    _, config, _ = parse("match", ["--config", str(file), "--max-chars", "50"], sections=["match"], flat=True)
    assert (config.run.seed, config.match.max_chars, config.match.min_chars) == (7, 50, 2)


def test_a_dry_run_prints_the_configuration_and_does_nothing(
    run_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--path", str(run_path), "--dry-run", "--balance.margin", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["balance"]["margin"] == 3.0
    assert not run_path.exists()


def test_a_stage_prints_its_sums_and_the_next_command(
    run_path: Path, lists: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["metadata", "--path", str(run_path), "--entries", *lists]) == 0
    shown = capsys.readouterr().out
    assert "next: curate match" in shown
    assert main(["metadata", "--path", str(run_path), "--entries", *lists]) == 0
    assert "already done" in capsys.readouterr().out
    assert main(["metadata", "--path", str(run_path), "--entries", *lists, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["ledgers"] == [{"unit": "entries", "in": 5, "out": 4, "dropped": {}, "merged": 1}]
    summary = json.loads((run_path / "summary.json").read_text())
    assert [stage["stage"] for stage in summary["stages"]] == ["metadata"]


def test_a_stage_made_otherwise_is_refused_and_says_how_to_go_on(
    run_path: Path, lists: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["metadata", "--path", str(run_path), "--entries", *lists])
    capsys.readouterr()
    assert main(["metadata", "--path", str(run_path), "--entries", *lists, "--languages", "en"]) == 2
    shown = capsys.readouterr().err
    assert "run.languages" in shown
    assert "--on-existing overwrite" in shown


@pytest.mark.parametrize("args", ["run --help", "plan --help"])
def test_a_reader_that_goes_away_is_no_error(args: str) -> None:
    """As `curate run --help | head -1` does: the pipe is closed before the first line is written."""
    code = f"import sys, time, curation.cli as c; time.sleep(0.2); sys.exit(c.main({args.split()!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) == UNREAD
    assert said == ""
