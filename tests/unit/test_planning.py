"""`curate plan`: what it reads of a run, what it learns of an earlier one, and what it says on a terminal and as JSON."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from curation.balance import entry_prob, keep_prob, thresholds
from curation.cli import run_verb
from curation.config import BalanceSection, RunConfig, RunSection
from curation.ids import coin, pair_id
from curation.plan import TOLERANCE
from curation.report.planned import short
from curation.report.planning import main, margin_for
from curation.schemas import TABLES
from curation.stage import OpenStage, StageSpec, run_stage

LANGUAGES = ("en", "ko")
NUM_ENTRIES = 120
MARGIN = 1.5
SURVIVES = {"en": 0.5, "ko": 0.8}
RUN_KEYS = ("languages", "seed", "heldout_share")


class Small:
    """A run up to its manifest, of tables and records alone: what a plan reads."""

    def __init__(self, path: Path, *, pairs: int = 900, languages: Sequence[str] = LANGUAGES) -> None:
        run = RunSection(path=path, seed=3, heldout_share=0.1)
        self.config = RunConfig(run=run, balance=BalanceSection(t={"en": 9.0}, margin=MARGIN))
        self.rows: list[dict[str, Any]] = []
        for i in range(pairs):
            url = f"http://example.org/{i}.png"
            key = pair_id(url, str(i))
            langs = languages if i % 5 == 0 else (languages[i % len(languages)],)
            held = coin(url, 3, "heldout") < 0.1
            for lang in langs:
                ids = {int(NUM_ENTRIES ** coin(f"{key}{k}", 0, lang)) - 1 for k in range(1 + i % 4)}
                self.rows.append({
                    "pair_id": key, "lang": lang, "url": url, "text": "x", "clean_text": "x", "detector": "script",
                    "lang_score": coin(key, 0, lang), "mixed": len(langs) > 1, "entry_ids": sorted(ids), "held": held,
                })  # fmt: skip
        self.counts = {lang: np.zeros(NUM_ENTRIES) for lang in LANGUAGES}
        for row in self.rows:
            if not row["held"]:
                self.counts[row["lang"]][row["entry_ids"]] += 1

    def make(self, until: str = "manifest") -> "Small":
        for name in ("match", "count", "balance", "manifest"):
            work: Callable[[OpenStage], None] = getattr(self, name)
            section = "balance" if name == "balance" else None
            spec = StageSpec(name=name, section=section, version=1, run_keys=RUN_KEYS)
            run_stage(self.config, spec, work)
            if name == until:
                break
        return self

    def match(self, stage: OpenStage) -> None:
        half = len(self.rows) // 2
        _write(stage, "matches", self.rows[::-1][:half], self.rows[::-1][half:])

    def count(self, stage: OpenStage) -> None:
        rows = [
            {"lang": lang, "entry_id": i, "count": int(n)}
            for lang, values in self.counts.items()
            for i, n in enumerate(values)
        ]
        _write(stage, "counts", rows)

    def chances(self, t: dict[str, float]) -> dict[str, dict[str, float]]:
        """The chance of each pair to train on, by the language it counts for and its id: a plain loop."""
        probs = {lang: entry_prob(self.counts[lang], t[lang]) for lang in LANGUAGES}
        by_pair: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            if not row["held"]:
                by_pair.setdefault(row["pair_id"], []).append(row)
        found: dict[str, dict[str, float]] = {lang: {} for lang in LANGUAGES}
        for key, own in by_pair.items():
            miss = math.prod(1 - keep_prob(probs[row["lang"]], row["entry_ids"]) for row in own)
            surer = min(own, key=lambda row: (-row["lang_score"], row["lang"]))
            found[surer["lang"]][key] = 1 - miss
        return found

    def balance(self, stage: OpenStage) -> None:
        t = thresholds(self.counts, {"en": 9.0}, LANGUAGES).t
        chances = self.chances({lang: MARGIN * own for lang, own in t.items()})
        held = {row["pair_id"] for row in self.rows if row["held"]}
        self.wanted = {
            lang: [key for key, chance in own.items() if coin(key, 3, "balance") < chance]
            for lang, own in chances.items()
        }
        stage.notes |= {"t": t, "margin": MARGIN, "held_out_pairs": len(held)}
        stage.add_table("wanted", rows=len(held) + sum(map(len, self.wanted.values())), digest="0")

    def manifest(self, stage: OpenStage) -> None:
        left = {
            lang: sum(coin(key, 0, "lives") < SURVIVES[lang] for key in keys)
            for lang, keys in self.wanted.items()
        }
        self.left = left
        stage.notes["captions"] = {"heldout/en/not_selected": 7} | {
            f"train/{lang}/{kind}": n
            for lang, number in left.items()
            for kind, n in (("selected", number - 3), ("not_selected", 3))
        }


def _write(stage: OpenStage, table: str, *parts: Sequence[dict[str, Any]]) -> None:
    (stage.path / table).mkdir()
    for number, rows in enumerate(parts):
        schema = TABLES[table]
        whole = [{name: row.get(name) for name in schema.names} for row in rows]
        pq.write_table(
            pa.Table.from_pylist(whole, schema=schema), stage.path / table / f"part-{number}.parquet"
        )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(tmp_path_factory.mktemp("plan") / "run").make()


def planned(capsys: pytest.CaptureFixture[str], run: Small, *args: str) -> dict[str, Any]:
    assert main(["--path", str(run.config.run.path), "--json", *args], Console()) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_runs_own_thresholds_give_what_a_loop_over_its_pairs_gives(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    found = planned(capsys, small)
    t = thresholds(small.counts, {"en": 9.0}, LANGUAGES).t
    assert found["answer"]["t"] == t
    for name, factor in (("balanced", 1.0), ("downloaded", MARGIN)):
        wanted = small.chances({lang: factor * own for lang, own in t.items()})
        for lang in LANGUAGES:
            assert found["answer"][name][lang] == pytest.approx(math.fsum(wanted[lang].values()), abs=1e-3)
    pairs = {row["pair_id"] for row in small.rows}
    held = {row["pair_id"] for row in small.rows if row["held"]}
    assert (found["matched"]["all"], found["held_out_pairs"]) == (len(pairs) - len(held), len(held))
    assert found["margin"] == MARGIN


def test_a_wanted_size_is_solved_and_the_toml_line_gives_it_again(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    found = planned(capsys, small, "--size", "500")
    assert found["asked"]["all"]["how"] == "within"
    assert found["answer"]["left"]["all"] == pytest.approx(500, rel=TOLERANCE)
    assert found["toml"][0] == "[balance]"
    again = planned(capsys, small, "--t.en", str(found["given"]["en"]))
    assert again["answer"] == found["answer"]


def test_budgets_a_language_are_solved_together(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, small, "--budget.ko", "250", "--budget.en=150")
    assert found["answer"]["left"]["ko"] == pytest.approx(250, rel=TOLERANCE)
    assert found["answer"]["left"]["en"] == pytest.approx(150, rel=TOLERANCE)
    one = planned(capsys, small, "--budget.ko", "250")
    assert one["given"]["en"] == 9.0
    assert one["asked"]["ko"]["how"] == "within"


def test_what_saturates_is_said(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, small, "--budget.ko", "708000000")
    assert found["asked"]["ko"] == {
        "wanted": 708e6, "size": found["largest"]["ko"], "t": "inf", "how": "largest",
    }  # fmt: skip
    assert "ko = inf" in found["toml"][1]
    assert main(["--path", str(small.config.run.path), "--size", "1e9"], Console(width=80)) == 0
    assert "the largest there is" in capsys.readouterr().out


def test_a_toml_file_without_a_balance_leaves_the_runs_own_thresholds(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default of 20,000 would keep everything, and nobody asked for it."""
    file = tmp_path / "run.toml"
    file.write_text("[run]\nseed = 3\n")
    assert planned(capsys, small, "--config", str(file)) == planned(capsys, small)
    file.write_text("[balance]\nt = { en = 4.0 }\nmargin = 2.0\n")
    found = planned(capsys, small, "--config", str(file))
    assert (found["given"], found["margin"]) == ({"en": 4.0}, 2.0)


def test_losses_are_learned_of_an_earlier_run(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, small, "--learn", str(small.config.run.path))
    for lang in LANGUAGES:
        wanted = len(small.wanted[lang])
        assert found["survival"][lang] == pytest.approx(small.left[lang] / wanted, rel=0.03)
        assert found["survival"][lang] == pytest.approx(SURVIVES[lang], abs=0.12)
        assert found["answer"]["left"][lang] <= found["largest"][lang] + 1e-3
    assert found["margin"] == margin_for(found["survival"])
    assert found["margin"] >= 1 / min(found["survival"].values())


def test_a_stated_margin_says_what_survives(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, small, "--margin", "2")
    assert found["survival"] == {"en": 0.5, "ko": 0.5}
    assert (found["margin"], found["toml"][2]) == (2.0, "margin = 2")
    assert found["largest"]["all"] == pytest.approx(found["matched"]["all"] / 2)
    budget = planned(capsys, small, "--margin", "2", "--budget.en", "100")
    assert budget["answer"]["left"]["en"] == pytest.approx(100, rel=TOLERANCE)


def test_a_sample_is_drawn_by_pair_and_its_error_covers_the_truth(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, part = planned(capsys, small), planned(capsys, small, "--sample", "400")
    assert part["rows"]["pairs_read"] < 0.6 * whole["rows"]["pairs_read"]
    assert part["rows"]["share"] == pytest.approx(400 / len(small.rows))
    for name in ("balanced", "downloaded"):
        error = part["answer"][name]["error"]
        assert 0 < error < 0.1 * whole["answer"][name]["all"]
        assert abs(part["answer"][name]["all"] - whole["answer"][name]["all"]) < 4 * error
    assert whole["answer"]["balanced"]["error"] == 0
    assert planned(capsys, small, "--sample", "400") == part


def test_a_tails_share_is_asked_for(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    p = planned(capsys, small)["answer"]["p"]
    assert planned(capsys, small, "--p", str(p))["answer"]["p"] == p


def test_the_table_rises_and_holds_the_answer(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, small)
    sizes = [row["left"]["all"] for row in found["table"]]
    assert sizes == sorted(sizes)
    assert found["answer"] in found["table"]
    assert found["table"][-1]["t"]["en"] == "inf"
    assert sizes[-1] == found["matched"]["all"]
    assert all(0 <= row["head"] <= 1 and 0 <= row["gini"] <= 1 for row in found["table"])


@pytest.mark.parametrize("more", [[], ["--sample", "300"], ["--learn", "."], ["--budget.ko", "100"]])
def test_it_reads_at_eighty_columns(
    small: Small, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    path = str(small.config.run.path)
    more = [path if arg == "." else arg for arg in more]
    assert main(["--path", path, *more], Console(width=80)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines if path not in line)
    assert lines[-3] == "[balance]"
    assert lines[-2].startswith("t = { en = ")
    assert lines[-1].startswith("margin = ")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--t.en", "0.5"], "no tail"),
        (["--p", "0"], "must lie in (0, 1]"),
        (["--size", "-3"], "above 0"),
        (["--size", "nan"], "above 0"),
        (["--budget.en", "0"], "above 0"),
        (["--size", "5", "--p", "0.5"], "give one of"),
        (["--margin", "0.5"], "1 or more"),
        (["--sample", "0"], "above 0"),
        (["--learn", "nowhere"], "holds no finished stage"),
    ],
)
def test_a_bad_question_is_one_clear_line(
    small: Small, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert run_verb("plan", ["--path", str(small.config.run.path), *args]) == 2
    found = capsys.readouterr().err
    assert said in found
    assert len(found.strip().splitlines()) == 1


def test_a_run_without_counts_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Small(tmp_path / "run", pairs=20).make("match")
    assert run_verb("plan", ["--path", str(run.config.run.path)]) == 2
    assert "run 'curate count' first" in capsys.readouterr().err


def test_a_language_without_matches_needs_a_t_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Small(tmp_path / "run", pairs=200, languages=("en",)).make("count")
    path = str(run.config.run.path)
    assert run_verb("plan", ["--path", path, "--t.en", "9"]) == 2
    assert "'ko'" in capsys.readouterr().err
    found = planned(capsys, run, "--t.en", "9", "--t.ko", "5", "--margin", "1")
    assert found["answer"]["left"]["ko"] == 0
    assert found["answer"]["left"]["all"] > 0
    assert planned(capsys, run, "--budget.ko", "5")["asked"]["ko"]["how"] == "largest"


def test_an_empty_run_plans_as_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Small(tmp_path / "run", pairs=0).make("count")
    found = planned(capsys, run, "--t.en", "9", "--t.ko", "5")
    assert found["answer"]["left"] == {"en": 0, "ko": 0, "all": 0, "error": 0}
    assert run_verb("plan", ["--path", str(run.config.run.path), "--t.en", "9", "--t.ko", "5"]) == 0


def test_sizes_in_seven_characters() -> None:
    assert [short(v) for v in (0, 999_999, 9_999_999, 12_345_678, 708e6, 1.234e10)] == [
        "0", "999,999", "9,999,999", "12.3M", "708.0M", "12.34G",
    ]  # fmt: skip
