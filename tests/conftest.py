"""Shared fixtures: one Spark session for all tests, and the real data where it is there."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from quickjava import JAVA_OPTIONS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHARED = Path(os.environ.get("BICURATE_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def spark() -> Iterator["SparkSession"]:
    """One session of two cores and up to three attempts a task; it ends with the tests."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from curation.config import SparkSection
    from curation.spark.session import get_session

    section = SparkSection(
        master="local[2,3]",
        driver_memory="2g",
        partitions=2,
        settings={"spark.driver.extraJavaOptions": JAVA_OPTIONS},
    )
    session = get_session(section, name="tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"the real data is not here: {SHARED}")
    return SHARED


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    """An empty run's directory."""
    return tmp_path / "run"
