"""The shipped wheel runs under spark-submit, on executors that have nothing of ours but it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyspark
import pytest
from quickjava import JAVA_OPTIONS

from curation.cli import main
from curation.demo.web import build
from curation.spark.java import java_home

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
WHERE = """
from curation.config import SparkSection
from curation.spark.session import get_session

def where(batches):
    import pyarrow as pa
    import curation
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"file": [curation.__file__] * batch.num_rows})

spark = get_session(SparkSection())
found = spark.range(20, numPartitions=4).mapInArrow(where, "file string").distinct().collect()
print(*(row["file"] for row in found))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, renamed: spark-submit takes a .zip to the executors' path, a .whl only to the driver's."""
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return shutil.copy(next(folder.glob("bicurate-*.whl")), folder / "bicurate.zip")


@pytest.fixture(scope="module")
def submit(package: Path) -> Callable[..., str]:
    """Submit a script to two executors, from a folder of its own; return what it printed last."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    home = java_home()
    if home:
        environment["JAVA_HOME"] = str(home)
    command = [
        str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", "local-cluster[2,1,1024]",
        "--conf", f"spark.driver.extraJavaOptions={JAVA_OPTIONS}", "--conf", f"spark.executor.extraJavaOptions={JAVA_OPTIONS}",
        "--conf", "spark.ui.enabled=false", "--py-files", str(package),
    ]  # fmt: skip

    def run(script: Path, *args: str) -> str:
        found = subprocess.run(
            [*command, str(script), *args],
            cwd=package.parent, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr[-3000:]
        return found.stdout.strip().splitlines()[-1]

    return run


def test_executors_find_the_package_in_the_zip(submit: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "where.py").write_text(WHERE)
    places = submit(tmp_path / "where.py").split()
    assert places
    assert all("bicurate.zip" in place for place in places)


def test_jobs_run_on_two_executors(submit: Callable[..., str], tmp_path: Path) -> None:
    web = build(tmp_path / "web", seed=3, pictures=60)
    config = tmp_path / "run.toml"
    config.write_text(
        f'[run]\npath = "{tmp_path / "run"}"\n[extract]\ninputs = ["{web.wat}"]\n'
        f'[metadata]\nentries = ["{web.entries}"]\n'
    )
    assert main(["metadata", "--config", str(config)]) == 0
    for stage in ("extract", "match"):
        record = json.loads(submit(ROOT / "jobs" / f"{stage}.py", "--config", str(config), "--json"))
        assert record["stage"] == stage
        for item in record["ledgers"]:
            assert item["in"] == item["out"] + sum(item["dropped"].values()) + item["merged"]
    assert record["tables"]["matches"]["rows"] > 100


def test_the_zip_holds_what_executors_find_by_name_alone(package: Path) -> None:
    with zipfile.ZipFile(package) as files:
        assert {"trainer/describe.py", "curation/dedup/second_look.json"} <= set(files.namelist())
