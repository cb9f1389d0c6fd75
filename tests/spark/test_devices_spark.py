"""A stage asks a cluster for GPUs only where the cluster says that it has them, and a task takes the one that is its own."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyspark
import pytest
from pyspark.sql import SparkSession

from curation.spark.batches import map_batches
from curation.spark.devices import gpu_profile, is_local, task_device
from curation.spark.java import java_home

ROOT = Path(__file__).parents[2]


def cluster(master: str, **settings: str) -> Any:
    """What `gpu_profile` asks of a session, with settings by their names, "." as "_"."""
    found = {name.replace("_", "."): value for name, value in settings.items()}
    return SimpleNamespace(conf=found, sparkContext=SimpleNamespace(master=master))


GPUS = {"spark_executor_resource_gpu_amount": "2"}


@pytest.mark.parametrize(
    ("session", "device"),
    [
        (cluster("local[4]", **GPUS), "cuda"),
        (cluster("spark://host:7077", **GPUS), "cpu"),
        (cluster("spark://host:7077"), "auto"),
        (cluster("yarn"), "cuda"),
    ],
    ids=["local", "cpu", "auto without GPUs", "cuda without GPUs"],
)
def test_nothing_is_asked_for_where_it_would_wait_for_ever(session: Any, device: Any) -> None:
    assert gpu_profile(session, device) is None


def test_a_task_gets_one_gpu_and_executors_are_left_as_they_are(spark: SparkSession) -> None:
    profile = gpu_profile(cluster("yarn", **GPUS), "auto")
    assert profile is not None
    assert {name: asked.amount for name, asked in profile.taskResources.items()} == {"cpus": 1.0, "gpu": 1.0}
    assert not profile.executorResources


def test_under_dynamic_allocation_executors_with_gpus_are_asked_for(spark: SparkSession) -> None:
    more = {"spark_dynamicAllocation_enabled": "true", "spark_executor_cores": "8"}
    script = {"spark_executor_resource_gpu_discoveryScript": "/opt/gpus.sh"}
    profile = gpu_profile(cluster("k8s://host", **GPUS, **more, **script), "cuda")
    assert profile is not None
    executors = profile.executorResources
    assert (executors["gpu"].amount, executors["gpu"].discoveryScript) == (2, "/opt/gpus.sh")
    assert executors["cores"].amount == 8


def test_a_local_session_asks_for_none_and_its_tasks_look_for_themselves(spark: SparkSession) -> None:
    schema = pa.schema([pa.field("device", pa.string())])

    def devices(batches: Any) -> Any:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"device": [task_device("auto")] * batch.num_rows})

    assert is_local(spark)
    found = map_batches(spark.range(4), devices, schema, profile=gpu_profile(spark, "cuda"))
    assert {row["device"] for row in found.collect()} == {"auto"}
    assert [task_device(device) for device in ("auto", "cpu", "cuda")] == ["auto", "cpu", "cuda"]


SCRIPT = """
import pyarrow as pa
from curation.config import SparkSection
from curation.spark.batches import map_batches
from curation.spark.devices import gpu_profile, task_device
from curation.spark.session import get_session

def device(batches):
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"device": [task_device("auto")] * batch.num_rows})

spark = get_session(SparkSection(partitions=2))
schema = pa.schema([pa.field("device", pa.string())])
rows = spark.range(10).repartition(2)
for profile in (gpu_profile(spark, "auto"), gpu_profile(spark, "cpu")):
    print(*{row["device"] for row in map_batches(rows, device, schema, profile=profile).collect()})
"""


@pytest.mark.slow
def test_a_cluster_with_gpus_gives_each_task_its_own(tmp_path: Path) -> None:
    (tmp_path / "gpus.sh").write_text('#!/bin/sh\necho \'{"name": "gpu", "addresses": ["3"]}\'\n')
    (tmp_path / "gpus.sh").chmod(0o755)
    (tmp_path / "ask.py").write_text(SCRIPT)
    settings = {
        "spark.ui.enabled": "false", "spark.worker.resource.gpu.amount": "1", "spark.executor.resource.gpu.amount": "1",
        "spark.worker.resource.gpu.discoveryScript": str(tmp_path / "gpus.sh"),
        "spark.executorEnv.PYTHONPATH": str(ROOT),
    }  # fmt: skip
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    home = java_home()
    if home:
        environment["JAVA_HOME"] = str(home)
    submit = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
    options = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    found = subprocess.run(
        [submit, "--master", "local-cluster[1,2,1024]", *options, str(tmp_path / "ask.py")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    assert found.stdout.split() == ["cuda:3", "auto"]
