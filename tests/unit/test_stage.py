"""A stage is a directory: committed by its record, skipped when it matches, refused when it does not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from curation.config import BalanceSection, RunConfig, RunSection
from curation.errors import Reason, StageError
from curation.stage import BEGUN, RECORD, Ledger, OpenStage, StageSpec, Tally, read_record, run_stage

SPEC = StageSpec(name="first", section="balance", version=1, run_keys=("seed",))
NEXT = StageSpec(name="second", section=None, version=1, reads=("first",))


def config_of(path: Path, **changes: object) -> RunConfig:
    return RunConfig(run=RunSection(path=path), balance=BalanceSection(**changes))  # type: ignore[arg-type]


class Work:
    """Writes a file and counts how often it ran."""

    def __init__(self, text: str = "x", *, fails: bool = False) -> None:
        self.text = text
        self.fails = fails
        self.ran = 0
        self.found: list[str] = []

    def __call__(self, stage: OpenStage) -> None:
        self.ran += 1
        self.found = sorted(path.name for path in stage.path.iterdir() if path.name != BEGUN)
        (stage.path / "out.txt").write_text(self.text)
        if self.fails:
            raise KeyboardInterrupt
        stage.add_file("out.txt", self.text)
        stage.add(Ledger(unit="rows", rows_in=2, rows_out=1, dropped={Reason.NO_MATCH: 1}))


def test_a_finished_stage_is_skipped(run_path: Path) -> None:
    work = Work()
    assert not run_stage(config_of(run_path), SPEC, work).skipped
    assert run_stage(config_of(run_path), SPEC, work).skipped
    assert work.ran == 1


def test_another_configuration_is_refused_by_the_name_of_its_key_and_overwritten_on_demand(
    run_path: Path,
) -> None:
    run_stage(config_of(run_path), SPEC, Work("a"))
    changed = config_of(run_path, margin=2.0)
    with pytest.raises(StageError, match=r"config\.margin \(1\.5 then, 2\.0 now\)"):
        run_stage(changed, SPEC, Work("b"))
    overwrite = replace(changed, run=replace(changed.run, on_existing="overwrite"))
    run_stage(overwrite, SPEC, Work("b"))
    assert (run_path / "first" / "out.txt").read_text() == "b"


def test_another_input_is_refused_and_an_equal_one_is_not(run_path: Path) -> None:
    config = config_of(run_path)
    run_stage(config, SPEC, Work("a"))
    run_stage(config, NEXT, Work())
    overwrite = config_of(run_path, margin=2.0)
    overwrite = replace(overwrite, run=replace(overwrite.run, on_existing="overwrite"))
    run_stage(overwrite, SPEC, Work("a"))  # another configuration, the same result
    assert run_stage(config, NEXT, Work()).skipped
    run_stage(replace(config, run=replace(config.run, on_existing="overwrite")), SPEC, Work("b"))
    with pytest.raises(StageError, match=r"inputs\.first"):
        run_stage(config, NEXT, Work())


def test_the_rest_of_a_killed_run_is_removed(run_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_stage(config_of(run_path), SPEC, Work(fails=True))
    assert not (run_path / "first" / RECORD).exists()
    work = Work()
    run_stage(config_of(run_path), SPEC, work)
    assert work.found == []


def test_a_stage_that_resumes_finds_its_work_only_under_the_same_configuration(run_path: Path) -> None:
    spec = replace(SPEC, resumes=True)
    for config, found in [(config_of(run_path), True), (config_of(run_path, margin=3.0), False)]:
        with pytest.raises(KeyboardInterrupt):
            run_stage(config_of(run_path), spec, Work(fails=True))
        work = Work()
        run_stage(config, spec, work)
        assert ("out.txt" in work.found) is found
        assert not (run_path / "first" / BEGUN).exists()
        shutil.rmtree(run_path / "first")


def test_a_missing_input_is_an_error_that_says_what_to_run(run_path: Path) -> None:
    with pytest.raises(StageError, match="run 'curate first' first"):
        run_stage(config_of(run_path), NEXT, Work())


def test_a_sum_that_does_not_close_is_an_error_and_nothing_is_committed(run_path: Path) -> None:
    def loses(stage: OpenStage) -> None:
        stage.add(Ledger(unit="rows", rows_in=3, rows_out=1, dropped={Reason.NO_MATCH: 1}))

    with pytest.raises(StageError, match="lost or doubled"):
        run_stage(config_of(run_path), SPEC, loses)
    assert not (run_path / "first" / RECORD).exists()


def test_an_unknown_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="because"):
        Ledger(unit="rows", rows_in=1, rows_out=0, dropped={"because": 1}).close()


def test_a_parent_serves_the_stages_whose_records_match(run_path: Path, tmp_path: Path) -> None:
    run_stage(config_of(run_path), SPEC, Work("a"))
    child = config_of(tmp_path / "child")
    child = replace(child, run=replace(child.run, parent=run_path))
    with pytest.raises(StageError, match="holds no finished stage"):
        run_stage(child, NEXT, Work())  # nothing is taken unseen
    assert run_stage(child, SPEC, Work("b")).path == run_path / "first"
    assert run_stage(child, NEXT, Work()).path == tmp_path / "child" / "second"
    other = replace(child, balance=BalanceSection(margin=9.0))
    assert run_stage(other, SPEC, Work("b")).path == tmp_path / "child" / "first"
    assert json.loads((run_path / "first" / RECORD).read_text())["config"]["margin"] == 1.5


def test_tallies_of_tasks_add_up_in_any_order() -> None:
    parts = []
    for n in range(1, 4):
        tally = Tally()
        tally.keep("pairs", n)
        tally.drop("pairs", Reason.NO_MATCH, 2 * n)
        tally.drop("records", Reason.BAD_JSON)
        tally.add("mixed", n)
        parts.append(tally.to_json())
    for order in (parts, parts[::-1]):
        total = Tally()
        for part in order:
            total.add_json(part)
        assert total.of("pairs") == Ledger(unit="pairs", rows_in=18, rows_out=6, dropped={"no_match": 12})
        assert total.of("records").dropped == {"bad_json": 3}
        assert total.sums == {"mixed": 6}


def test_a_record_says_what_it_was_made_with(run_path: Path) -> None:
    run_stage(config_of(run_path), SPEC, Work("a"))
    data = read_record(run_path / "first").data
    assert data["config"]["run.seed"] == 0
    assert data["ledgers"] == [{"unit": "rows", "in": 2, "out": 1, "dropped": {"no_match": 1}, "merged": 0}]
    assert data["versions"]["pyarrow"]


def test_a_directory_that_no_stage_began_is_refused_and_left_alone(run_path: Path) -> None:
    (run_path / "first").mkdir(parents=True)
    (run_path / "first" / "mine.txt").write_text("x")
    with pytest.raises(StageError, match="no stage of a run"):
        run_stage(config_of(run_path), SPEC, Work())
    assert (run_path / "first" / "mine.txt").read_text() == "x"


def test_a_killed_overwrite_is_no_finished_stage(run_path: Path) -> None:
    run_stage(config_of(run_path), SPEC, Work("a"))
    changed = config_of(run_path, margin=2.0)
    changed = replace(changed, run=replace(changed.run, on_existing="overwrite"))
    with pytest.raises(KeyboardInterrupt):
        run_stage(changed, SPEC, Work("b", fails=True))
    work = Work("a")
    run_stage(config_of(run_path), SPEC, work)
    assert work.ran == 1


def test_an_input_file_that_changed_is_named(run_path: Path) -> None:
    files = [{"path": name, "size": 1} for name in ("a.wat.gz", "b.wat.gz")]
    run_stage(config_of(run_path), SPEC, Work(), externals=files)
    with pytest.raises(StageError, match=r"externals\.b\.wat\.gz\.size \(1 then, 2 now\)"):
        run_stage(config_of(run_path), SPEC, Work(), externals=[files[0], files[1] | {"size": 2}])
