"""The rules of the house that a parser can check: who imports whom, how long a file is, where chance comes from."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASE = {
    "errors",
    "extras",
    "ids",
    "schemas",
    "canonical",
    "config",
    "config_balance",
    "config_dedup",
    "config_card",
    "config_metadata",
    "runfile",
    "text",
    "stage",
}
# A file imports only from its own layer or a lower one.
LAYERS = [
    "base",
    "metadata",
    "curation",
    "dedup",
    "audit",
    "report",
    "spark",
    "demo",
    "cli",
    "trainer",
    "jobs",
]
PACKAGES = ("curation", "metadata", "trainer")
SOURCES = sorted(path for package in (*PACKAGES, "jobs") for path in (ROOT / package).rglob("*.py"))
SPARK_ROOMS = {"spark", "jobs"}


def layer_of(module: str) -> str:
    parts = module.split(".")
    if parts[0] in {"metadata", "trainer", "jobs"}:
        return parts[0]
    if len(parts) == 1 or parts[1] in BASE:
        return "base"
    return parts[1] if parts[1] in LAYERS else "curation"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_a_file_imports_from_its_own_layer_or_a_lower_one(path: Path) -> None:
    own = LAYERS.index(layer_of(module_of(path)))
    known = {module_of(source) for source in SOURCES}
    for module in imports_of(path) & known:
        assert LAYERS.index(layer_of(module)) <= own, f"{module_of(path)} imports {module} from above"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_only_the_spark_room_and_the_jobs_import_pyspark(path: Path) -> None:
    if not SPARK_ROOMS & set(path.relative_to(ROOT).parts):
        assert not [module for module in imports_of(path) if module.partition(".")[0] == "pyspark"]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_a_file_is_one_thing(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400
    longest = [
        node.name
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.body[0].lineno > 45
    ]
    assert not longest


def test_the_layers_are_those_of_the_tree() -> None:
    assert layer_of("curation.ids") == "base"
    assert layer_of("curation.spark.match") == "spark"
    assert layer_of("curation.match") == "curation"
    assert layer_of("metadata.entries") == "metadata"


def test_every_stage_has_its_job() -> None:
    from curation.pipeline import STAGES

    jobs = {path.stem.replace("_", "-") for path in (ROOT / "jobs").glob("*.py")}
    assert jobs == set(STAGES) - {"metadata"} | {"build-metadata", "run"}
    names = {path.stem for path in (ROOT / "jobs").glob("*.py")}
    assert not names & set(PACKAGES)  # a script's folder comes first on the path
