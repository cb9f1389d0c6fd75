"""A budget that no t meets is said, with why: in the output, and on the page; one that is met is passed over."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reportrun import make_run
from rich.console import Console

from curation import pipeline
from curation.balance import thresholds
from curation.errors import ConfigError
from curation.missed import NO_FEWER, NO_MORE, NO_NEARER, missed_budgets
from curation.plan import Pool, solve_budget
from curation.report import html
from curation.report.tables import print_record
from curation.stage import Record


def noted(how: str, *, t: object, wanted: float, expected: float, margin: float = 1.0) -> dict[str, object]:
    item = {"t": t, "wanted": wanted, "expected": expected, "how": how}
    return {"margin": margin, "budget": {"languages": {"ko": item}, "rows": 9, "sampled": 1.0}}


@pytest.mark.parametrize(
    ("how", "t", "expected", "why"),
    [
        ("largest", "inf", 60.0, NO_MORE),
        ("nearest", 1e-6, 240.0, NO_FEWER),
        ("nearest", 12.0, 240.0, NO_NEARER),
        ("nearest", 1e-6, 60.0, NO_NEARER),
    ],
)
def test_a_budget_that_is_missed_is_said_with_why(how: str, t: object, expected: float, why: str) -> None:
    said = missed_budgets(noted(how, t=t, wanted=150.0, expected=expected, margin=1.5))["ko"]
    assert said.startswith("the budget of 150 pairs (100 times the margin of 1.5) is not met: ")
    assert f"{expected:,.0f} are expected at t = {float(str(t)):g}; {why}" in said


def test_a_budget_that_is_met_is_passed_over() -> None:
    assert missed_budgets(noted("within", t=12.0, wanted=150.0, expected=150.4)) == {}
    assert missed_budgets({}) == {}


def test_budgets_that_two_languages_cannot_both_have_are_found_out() -> None:
    """A third of the pairs is of both: what English keeps of these counts as Korean where Korean is surer."""
    ids = np.array([*[0] * 41, *[0, 1] * 60], dtype=np.int32)
    lengths, lang = np.repeat([1, 2], [41, 60]), np.repeat([0, 1], [41, 60]).astype(np.int8)
    pool = Pool(("en", "ko"), ids, np.concatenate([[0], np.cumsum(lengths)]), lang)
    counts = {"en": np.array([101.0]), "ko": np.array([60.0])}
    found = solve_budget(pool, counts, {}, {"en": 40.0, "ko": 3.0})
    notes = {
        "budget": {
            "languages": {
                k: {"t": s.t, "wanted": s.wanted, "expected": s.size, "how": s.how} for k, s in found.items()
            }
        }
    }
    assert found["ko"].size > 30
    assert missed_budgets(notes)["ko"].endswith(NO_FEWER)


def test_the_output_and_the_page_say_it(tmp_path: Path) -> None:
    config = make_run(tmp_path / "run", pairs=30, until="balance-survivors")
    records = pipeline.finished(config)
    assert "misses its budget" not in html.render(config, records)
    second = records["balance-survivors"]
    notes = second.notes | noted("largest", t="inf", wanted=1_900.0, expected=240.0)
    data = second.data | {"notes": notes}
    changed = replace(second, data=data)
    assert isinstance(changed, Record)
    page = html.render(config, records | {"balance-survivors": changed})
    assert "<b>Korean misses its budget</b> in <code>balance-survivors</code>" in page
    assert NO_MORE in page
    console = Console(record=True, width=80, file=(tmp_path / "out").open("w"))
    print_record(changed, console)
    text = " ".join(console.export_text().split())
    assert "balance.budget.ko: the budget of 1,900 pairs is not met: 240 are expected" in text
    assert json.dumps(changed.data["notes"]["budget"])


def test_the_page_says_that_a_t_was_found_for_a_budget(tmp_path: Path) -> None:
    config = make_run(tmp_path / "run", pairs=30, until="balance")
    records = pipeline.finished(config)
    first = records["balance"]
    notes = first.notes | noted("within", t=3.0, wanted=75.0, expected=75.1, margin=1.5)
    page = html.render(config, records | {"balance": replace(first, data=first.data | {"notes": notes})})
    assert "found for a budget of 50 of this run&#39;s own pairs" in page


def test_a_tail_of_nothing_through_a_budget_names_the_budget() -> None:
    counts = {"en": np.array([5.0, 9.0]), "ko": np.array([3.0, 2.0])}
    with pytest.raises(
        ConfigError, match=r"from balance\.budget\.en, whose t is 1e-06: .*or raise balance\.budget\.en$"
    ):
        thresholds(counts, {"en": 1e-6}, ("en", "ko"), budgeted={"en": 7.0})
    with pytest.raises(ConfigError, match=r"from balance\.t\.en = 1: .*or raise balance\.t\.en$"):
        thresholds(counts, {"en": 1.0}, ("en", "ko"))
