"""What an extra installs is said in one way, and is what pyproject.toml says."""

import re
import tomllib
from pathlib import Path

import pytest

from curation.extras import EXTRAS, missing
from curation.pipeline import STAGES

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {"faiss-cpu": "faiss", "faiss-gpu": "faiss"}  # whose module has another name
SENTENCE = "raise MissingExtraError("
OWN = {"curation/download.py", "curation/dedup/neighbours.py"}  # no extra at all; two extras for one module


def test_the_table_is_that_of_the_project_file() -> None:
    given = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = {
        (DISTRIBUTIONS.get(name, name), extra)
        for extra, lines in given.items() if extra != "dev"
        for name in (re.split(r"[<>=\[]", line)[0] for line in lines)
    }  # fmt: skip
    assert listed - {("faiss", "gpu")} == set(EXTRAS.items())


def test_every_module_that_a_stage_needs_is_in_the_table() -> None:
    assert {module for stage in STAGES.values() for module in stage.needs} <= set(EXTRAS)


def test_the_sentence_names_who_asks_what_is_missing_and_how_to_get_it() -> None:
    told = str(missing("stage 'train'", "torch", "tokenizers", more="--until ends a run before it"))
    for part in (
        "stage 'train' needs 'torch' and 'tokenizers'",
        "pip install 'bicurate[train]'",
        "'.[train]'",
    ):
        assert part in told
    assert told.endswith("; --until ends a run before it")
    assert str(missing("reading wikitext", "mwparserfromhell")).endswith("in a checkout")
    with pytest.raises(ValueError, match="too many"):
        missing("a mistake of ours", "torch", "faiss")


def test_no_other_file_words_the_sentence_anew() -> None:
    sources = [
        path for package in ("curation", "metadata", "trainer") for path in (ROOT / package).rglob("*.py")
    ]
    found = {str(path.relative_to(ROOT)) for path in sources if SENTENCE in path.read_text(encoding="utf-8")}
    assert found <= OWN
