"""What an extra installs is said in one way, and is what pyproject.toml says."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from curation.extras import EXTRAS, missing
from curation.pipeline import STAGES

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {"faiss-cpu": "faiss", "faiss-gpu": "faiss"}  # whose module has another name
BROUGHT = {"markupsafe": "jinja2", "py4j": "pyspark"}  # modules that come with one that is named
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


def imported(folder: str) -> set[str]:
    """Return the top names of all modules that files of a folder import."""
    nodes = [node for path in (ROOT / folder).rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in names if name}


def test_every_package_that_is_imported_is_named_in_the_project_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(line for of in project["optional-dependencies"].values() for line in of),
    ]
    named = {re.split(r"[<>=\[]", line)[0].lower() for line in lines}
    own = {"curation", "metadata", "trainer"} | {path.stem for path in (ROOT / "tests").rglob("*.py")}
    for folder in ("curation", "metadata", "trainer", "jobs", "tests"):
        for module in imported(folder) - own - sys.stdlib_module_names:
            offers = {
                name.lower() for name in packages_distributions().get(BROUGHT.get(module, module), [module])
            }
            assert offers & named, f"{folder} imports {module}, which no line of pyproject.toml installs"


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
