"""What a search costs, before it begins: it follows the numbers that the search itself counts, and holds to a budget."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from curation.cli import main
from curation.dedup.cells import Cells
from curation.dedup.kinds import Kind
from curation.dedup.plan import (
    ROWS_PER_CELL,
    Question,
    Rates,
    measured_products,
    priced,
    refusals,
    suggested_rows,
)
from curation.dedup.search import Visiting, near_pairs_by_cells
from curation.errors import ConfigError
from curation.ids import coins
from curation.stage import RECORD, sealed

MILLION = Question(pictures=10**6, views=10, query_views=5, dimension=81, cores=16)


def clustered(num: int, views: int, dimension: int) -> np.ndarray:
    """Codes around as many centres as there are pictures to a hundred."""
    drawn = coins([str(n) for n in range(num * views * dimension)], 0, "noise").reshape(num, views, dimension)
    centres = coins([str(n) for n in range(num // 100 * dimension)], 0, "centre").reshape(-1, 1, dimension)
    mixed = 0.4 * (drawn - 0.5) + (np.tile(centres, (101, 1, 1))[:num] - 0.5)
    return np.rint(mixed * 120).astype(np.int8)


def test_the_search_makes_as_many_comparisons_as_planned() -> None:
    codes = clustered(1_500, 2, 16)
    vectors = codes.reshape(-1, 16)
    cells = Cells(np.ascontiguousarray(vectors[:: len(vectors) // 20][:20]))
    plan = Question(pictures=1_500, views=2, query_views=1, dimension=16, rows_per_cell=150, probe=3)
    assert plan.cells == len(cells)
    visits = cells.probed(vectors, 3)
    at_home, visiting = (
        np.bincount(part, minlength=20) / len(vectors) for part in (visits.home, visits.cells)
    )
    imbalance = float(at_home @ visiting) * 20 / 3
    planned = priced(replace(plan, imbalance=imbalance)).comparisons["search"]
    _, made = near_pairs_by_cells(codes, Visiting(cells, "probe", 3), query_views=1)
    assert made == pytest.approx(planned, rel=0.1)


def test_exhaustive_compares_all_with_all_once_in_one_cell() -> None:
    found = priced(replace(MILLION, mode="exhaustive"))
    assert (found.cells, found.comparisons["search"]) == (1, 1e7 * 5e6 / 2)
    assert found.comparisons["kmeans"] == found.comparisons["placing"] == 0
    assert not found.at_most


def test_bound_is_all_at_the_most_and_a_sample_says_how_much_less() -> None:
    most = priced(replace(MILLION, mode="bound"))
    sampled = priced(replace(MILLION, mode="bound", bound_share=0.25))
    assert (most.at_most, sampled.at_most) == (True, False)
    assert sampled.comparisons["search"] == most.comparisons["search"] / 4
    assert sampled.shuffled_bytes < most.shuffled_bytes


@pytest.mark.parametrize("pictures", [0, 1, 2, 100])
@pytest.mark.parametrize("mode", ["probe", "bound", "exhaustive"])
def test_few_pictures_are_planned_too(pictures: int, mode: str) -> None:
    found = priced(replace(MILLION, pictures=pictures, mode=mode))
    assert math.isfinite(found.hours)
    assert found.comparisons["search"] <= 50 * max(1, pictures) ** 2
    assert found.cells == 1


def test_more_of_anything_never_costs_less() -> None:
    base = priced(MILLION)
    for more in (
        {"pictures": 2 * 10**6},
        {"views": 12},
        {"dimension": 512},
        {"probe": 8},
        {"imbalance": 2.0},
    ):
        found = priced(replace(MILLION, **more))
        assert found.hours > base.hours
        assert found.task_bytes >= base.task_bytes
    assert priced(replace(MILLION, cores=32)).hours < base.hours
    assert priced(replace(MILLION, gpus=4)).seconds["search"] < base.seconds["search"]


def test_given_rates_decide() -> None:
    slow = replace(MILLION, rates=Rates(products=81e6, pictures=10, shuffled_bytes=1e6))
    found = priced(slow)
    assert found.seconds["search"] == pytest.approx(found.comparisons["search"] / 1e6 / 16)
    assert found.seconds["embed"] == 10**6 / 10 / 16
    assert found.seconds["shuffle"] == found.shuffled_bytes / 1e6 / 16


def test_near_pairs_cost_a_look_and_a_shuffle_each_where_they_are_known() -> None:
    asked = replace(MILLION, detail_bytes=1_000)
    unknown, none = priced(asked), priced(replace(asked, pairs=0.0))
    assert unknown == none
    few, twice = (priced(replace(asked, pairs=pairs)) for pairs in (2.0, 4.0))
    assert few.seconds["look"] == pytest.approx(2 * 10**6 / asked.rates.looks / 16)
    assert twice.seconds["look"] == pytest.approx(2 * few.seconds["look"])
    grown = few.shuffled_bytes - none.shuffled_bytes
    assert grown > 2 * 10**6 * (10 * 81 + 1_000)
    assert twice.shuffled_bytes - none.shuffled_bytes == pytest.approx(2 * grown)
    assert priced(replace(asked, pairs=2.0, detail_bytes=0)).seconds["look"] == 0  # of a kind that takes none


def test_suggested_rows_cost_least_of_those_tried() -> None:
    for question in (
        MILLION,
        replace(MILLION, pictures=10**4, cores=2),
        replace(MILLION, pictures=10**9, gpus=8, cores=256),
    ):
        best = suggested_rows(question)
        hours = {rows: priced(replace(question, rows_per_cell=rows)).hours for rows in ROWS_PER_CELL}
        least = min(hours[rows] for rows in ROWS_PER_CELL if rows >= (16_000 if question.gpus else 1_000))
        assert hours[best] == least
    assert suggested_rows(replace(MILLION, pictures=10**5, cores=2)) < 4_000
    assert suggested_rows(replace(MILLION, pictures=10**9, gpus=8, cores=256)) > 100_000


def test_a_budget_forbids_what_is_over_it_and_nothing_else() -> None:
    found = priced(MILLION)
    search = found.comparisons["search"]
    assert not list(refusals(found, max_hours=None, max_comparisons=None))
    assert not list(refusals(found, max_hours=found.hours, max_comparisons=search))
    assert len(list(refusals(found, max_hours=found.hours * 0.99, max_comparisons=search * 0.99))) == 2


@pytest.mark.parametrize(
    "wrong", [{"probe": 0}, {"views": 0}, {"pictures": -1}, {"query_views": 11}, {"cores": 0}]
)
def test_numbers_that_no_search_has_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        priced(replace(MILLION, **wrong))


def test_a_rate_is_measured_in_the_time_that_is_given() -> None:
    assert 1e7 < measured_products(81, seconds=0.05) < 1e13


# ---- the verb


def planned(*args: str, capsys: pytest.CaptureFixture[str], status: int = 0) -> dict[str, Any]:
    assert main(["dedup", "plan", "--json", *args]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def run_of(path: Path, num: int = 300, kind: Kind | None = None) -> Path:
    """A run whose stage embed is done."""
    kind = kind or Kind("mine", "ab" * 32, 2, 1, 16)
    codes = clustered(num, 2, 16)
    codes[0] = 0
    place = path / "embed" / "descriptors"
    place.mkdir(parents=True)
    ids = [f"{n:064x}" for n in range(num)]
    columns = {
        "image_id": ids,
        "codes": [row.tobytes() for row in codes],
        "kind": [kind.name] * num,
        "kind_sha256": [kind.sha256] * num,
    }
    pq.write_table(pa.table(columns), place / "0.parquet")
    record = {
        "stage": "embed",
        "tables": {"descriptors": {"rows": num, "digest": "0"}},
        "notes": {"kind": kind.as_note()},
    }
    (path / "embed" / RECORD).write_text(sealed(record))
    return path


def test_the_verb_says_the_same_as_the_function(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--views", "10", "--query-views", "5", "--dimension", "81", "--cores", "16"]
    found = planned("--pictures", "1e6", *sizes, capsys=capsys)
    wanted = priced(replace(MILLION, detail_bytes=found["question"]["detail_bytes"]))
    assert found["cost"]["comparisons"] == wanted.comparisons
    assert found["cost"]["hours"] == pytest.approx(wanted.hours)
    given = planned("--pictures", "1e6", *sizes, "--comparisons-per-second", "1e6", capsys=capsys)
    assert given["cost"]["seconds"]["search"] == pytest.approx(wanted.comparisons["search"] / 1e6 / 16)
    cells = planned("--pictures", "1e6", *sizes, "--cells", "500", capsys=capsys)
    assert cells["cost"]["cells"] == 500


def test_a_run_gives_its_pictures_its_kind_and_how_full_its_cells_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path / "run")
    found = planned("--path", str(run), "--rows-per-cell", "100", capsys=capsys)
    assert (found["kind"], found["question"]["pictures"]) == ("mine", 300)
    assert found["sampled_vectors"] == 598  # one picture is plain
    assert found["question"]["distinct"] == 598 / 600
    assert found["question"]["imbalance"] > 1
    bound = planned("--path", str(run), "--rows-per-cell", "100", "--mode", "bound", capsys=capsys)
    assert 0 < bound["question"]["bound_share"] <= 1
    assert not bound["cost"]["at_most"]
    assert found["cost"]["seconds"]["embed"] == 0  # what a network takes is not known
    more = planned("--path", str(run), "--pictures", "1e6", capsys=capsys)
    assert more["question"]["pictures"] == 10**6
    assert (more["question"]["pairs"], more["pairs_from_run"]) == (None, False)
    (run / "neighbours").mkdir()
    (run / "neighbours" / RECORD).write_text(
        sealed({"stage": "neighbours", "tables": {"edges": {"rows": 750}}})
    )
    searched = planned("--path", str(run), "--pictures", "1e6", capsys=capsys)
    assert (searched["question"]["pairs"], searched["pairs_from_run"]) == (2.5, True)
    assert searched["cost"]["shuffled_bytes"] > more["cost"]["shuffled_bytes"]
    other = planned("--path", str(run), "--views", "3", capsys=capsys)
    assert other["question"]["pairs"] is None  # what other views would find is not known
    given = planned("--path", str(run), "--pairs-per-picture", "1", capsys=capsys)
    assert (given["question"]["pairs"], given["pairs_from_run"]) == (1, False)


@pytest.mark.parametrize("num", [0, 1, 2])
def test_tiny_runs_are_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str], num: int) -> None:
    (tmp_path / "run").mkdir()
    kind = Kind("mine", "ab" * 32, 2, 1, 16)
    place = tmp_path / "run" / "embed" / "descriptors"
    place.mkdir(parents=True)
    columns = {
        "image_id": ["a"] * num,
        "codes": [bytes([1]) * 32] * num,
        "kind": ["mine"] * num,
        "kind_sha256": [kind.sha256] * num,
    }
    types = {"image_id": pa.string(), "codes": pa.binary(), "kind": pa.string(), "kind_sha256": pa.string()}
    pq.write_table(
        pa.table({name: pa.array(values, types[name]) for name, values in columns.items()}),
        place / "0.parquet",
    )
    record = {"stage": "embed", "tables": {"descriptors": {"rows": num}}, "notes": {"kind": kind.as_note()}}
    (tmp_path / "run" / "embed" / RECORD).write_text(sealed(record))
    assert planned("--path", str(tmp_path / "run"), capsys=capsys)["question"]["pictures"] == num


def test_a_budget_refuses_with_status_2_and_says_what_is_cheaper(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = planned("--pictures", "1e9", "--max-hours", "1", "--cores", "8", capsys=capsys, status=2)
    assert found["refused"]
    assert main(["dedup", "plan", "--pictures", "1e6", "--max-comparisons", "1e6"]) == 2
    said = capsys.readouterr().err
    assert "max_comparisons is 1e+06" in said
    assert "--rows-per-cell" in said or "--probe" in said
    (tmp_path / "a.toml").write_text("[neighbours]\nmax_comparisons = 1e7\nmode = 'exhaustive'\n")
    assert main(["dedup", "plan", "--config", str(tmp_path / "a.toml"), "--pictures", "1e5"]) == 2
    assert "--mode probe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ([], "give --pictures N"), (["--pictures", "1e5", "--cells", "0"], "--cells"),
        (["--pictures", "1e5", "--max-hours", "-1"], "--max-hours"), (["--path", "nowhere"], "run 'curate embed' first"),
        (["--pictures", "10", "--kind", "sscd"], "embed.kind"), (["--pictures", "10", "--probe", "0"], "neighbours.probe"),
        (["--pictures", "10", "--pairs-per-picture", "-1"], "pairs_per_picture"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(capsys: pytest.CaptureFixture[str], args: list[str], named: str) -> None:
    assert main(["dedup", "plan", *args]) == 2
    assert named in " ".join(capsys.readouterr().err.split())


def test_the_table_fits_a_terminal_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    from curation.report.dedup_plan import PlanOptions, answered, print_answer

    for options in (
        PlanOptions(pictures=1e9, cores=4096, gpus=64, max_comparisons=1e30),
        PlanOptions(pictures=3, cores=1), PlanOptions(pictures=1e7, mode="bound"), PlanOptions(pictures=0), PlanOptions(pictures=1e10, cores=4096, pairs_per_picture=1234.5),
    ):  # fmt: skip
        print_answer(answered(options), Console(width=80))
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 80
    for word in (
        "search",
        "k-means",
        "in all",
        "64 GPUs and 4,096 cores",
        "mode bound, ",
        "A task of the search",
    ):
        assert word in shown


def test_a_rate_that_was_never_measured_is_said_to_be_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--pictures", "1e9", "--cores", "8"]
    given = ["--comparisons-per-second", "1e9"]
    for args, assumed in (([], False), (["--gpus", "2"], True), (["--gpus", "2", *given], False)):
        assert planned(*sizes, *args, "--max-comparisons", "1e30", capsys=capsys)["assumed_rate"] is assumed
        assert main(["dedup", "plan", *sizes, *args, "--max-comparisons", "1e30"]) == 0
        assert (
            "4e+12 multiplications a second are an assumption" in " ".join(capsys.readouterr().out.split())
        ) == assumed


# ---- --holdout


def test_holdout_is_given_by_name_and_folder_and_adds_to_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.toml").write_text('[dedup]\nholdout = { coco = "old", flickr = "f" }\n')
    args = ["dedup", "--config", str(tmp_path / "a.toml"), "--dry-run"]
    assert main([*args, "--holdout", "coco=new", "--holdout=imagenet.v2=some=where"]) == 0
    found = json.loads(capsys.readouterr().out)["dedup"]["holdout"]
    assert found == {"coco": "new", "flickr": "f", "imagenet.v2": "some=where"}
    assert main(["run", "--dry-run", "--dedup.holdout", "x=y"]) == 0
    assert json.loads(capsys.readouterr().out)["dedup"]["holdout"] == {"x": "y"}


@pytest.mark.parametrize("given", [["coco"], ["=x"], ["a="], [], ["a=b", "--holdout", "a=c"]])
def test_a_holdout_without_name_or_folder_is_refused(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dedup", "--dry-run", "--holdout", *given]) == 2
    assert "--holdout" in capsys.readouterr().err
