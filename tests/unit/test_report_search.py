"""What the page says of the search and of the rules, by records alone; and who is in a family."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.report import duplicates
from curation.report.search import OF_RULE, RULES, found
from curation.schemas import TABLES
from curation.stage import Record

IDS = [f"{n:064x}" for n in range(0x1000, 0x1006)]


def records(**notes: Any) -> dict[str, Record]:
    config = {"threshold": 0.95, "rule": "dominated", "rank": ["bytes"]}
    dropped = {"holdout": 3, "earlier_picture": 2}
    ledgers = [
        {"unit": unit, "in": 9, "out": 4, "dropped": dropped, "merged": 0} for unit in ("images", "captions")
    ]
    dedup = {"stage": "dedup", "config": config, "ledgers": ledgers, "notes": notes}
    return {"dedup": Record(Path(), dedup)}


def test_what_was_found_is_told_of_records_with_and_without_a_search_of_its_own() -> None:
    older = found(records(search={"mode": "exhaustive"}, groups={"rules": {"single": 5}}))
    assert (older["search"], older["audit"], older["near_pairs"]) == ({"mode": "exhaustive"}, None, None)
    assert [row["rule"] for row in older["rules"]] == ["single"]
    bands = [{"pairs": 3, "low_cosine": 0.9}, {"pairs": 1, "low_cosine": 0.95}]
    search = {"search": {"mode": "probe"}, "audit": {"pictures": 7, "bands": bands}}
    sets = {"one": {"pictures": 5, "dropped": 3}}
    newer = found(
        records(groups={"rules": {}, "near_pairs": 8}, holdout={"sets": sets})
        | {"neighbours": Record(Path(), {"stage": "neighbours", "notes": search})}
    )
    assert newer["audit"] == {"pictures": 7, "whole": bands[0], "bands": bands[1:]}
    assert (newer["near_pairs"], newer["holdout"], newer["rank"]) == (8, sets, ["bytes"])
    assert newer["earlier"] == {"images": 2, "captions": 2}
    assert newer["means"] == RULES["dominated"]


def test_every_rule_is_told_in_words() -> None:
    from curation.dedup import groups

    assert set(OF_RULE) == set(groups.Rule)
    assert set(RULES) == set(groups.RULES)


@pytest.mark.parametrize("older", [False, True])
def test_only_pictures_of_this_run_are_in_its_families(tmp_path: Path, older: bool) -> None:
    kinds = [
        ("survivor", IDS[0], False), ("near_descriptor", IDS[0], False), ("single", IDS[2], False),
        ("holdout", IDS[3], False), ("near_descriptor", "f" * 64, True), ("earlier", "f" * 64, True),
    ]  # fmt: skip
    rows = [
        {
            "image_id": one, "group_id": joined, "survivor": one == joined and rule != "holdout", "joined": joined, "cosine": 1.0,
            "rule": rule, "in_index": in_index,
        }
        for one, (rule, joined, in_index) in zip(IDS, kinds, strict=True)
    ]  # fmt: skip
    table = pa.Table.from_pylist([{name: row.get(name) for name in TABLES["groups"].names} for row in rows])
    if older:  # before there were indexes
        table = table.drop_columns(["near", "holdout", "in_index"]).slice(0, 3)
    (tmp_path / "groups").mkdir()
    pq.write_table(table, tmp_path / "groups" / "0.parquet")
    sizes, largest = duplicates.families(Record(tmp_path, {}), 5)
    assert {size.name: (size.families, size.pictures) for size in sizes} == {"1": (1, 1), "2": (1, 2)}
    assert [family.image_id for family in largest] == [IDS[0]]
