"""GPUs on Spark: a stage asks its cluster for one a task, and a task learns which one is its own.

Where the master is this machine, or the cluster's settings say nothing of GPUs, nothing is asked for: a task then takes the GPU it
sees. A stage without one runs on the CPU, with the same result; what ran where is for the stage to note.
"""

from pyspark import TaskContext
from pyspark.resource import (
    ExecutorResourceRequests,
    ResourceProfile,
    ResourceProfileBuilder,
    TaskResourceRequests,
)
from pyspark.sql import SparkSession

from curation.config_dedup import Device

GPU = "gpu"  # Spark's name of the resource
_SETTING = "spark.executor.resource.gpu."


def gpu_profile(spark: SparkSession, device: Device) -> ResourceProfile | None:
    """Return the profile with which a stage's tasks get a GPU each; None where none is to be asked for.

    A cluster says that it has GPUs by `spark.executor.resource.gpu.amount`, and under dynamic allocation by a
    `spark.executor.resource.gpu.discoveryScript` too: without these a request would wait for executors that never come.
    """
    amount = int(spark.conf.get(_SETTING + "amount", "0") or 0)
    if device == "cpu" or amount < 1 or is_local(spark):
        return None
    builder = ResourceProfileBuilder().require(TaskResourceRequests().cpus(1).resource(GPU, 1))
    if spark.conf.get("spark.dynamicAllocation.enabled", "false") == "true":
        script, vendor = (spark.conf.get(_SETTING + key, "") or "" for key in ("discoveryScript", "vendor"))
        wanted = ExecutorResourceRequests().cores(int(spark.conf.get("spark.executor.cores", "1") or 1))
        builder.require(wanted.resource(GPU, amount, script, vendor))
    return builder.build


def is_local(spark: SparkSession) -> bool:
    """Return whether driver and tasks are one process on this machine; `local-cluster` has executors of its own."""
    master = str(spark.sparkContext.master)
    return master.startswith("local") and not master.startswith("local-cluster")


def task_device(device: Device) -> str:
    """Return, inside a task, the device to use: `cpu`, or `cuda:N` with the GPU that Spark gave to this task.

    `auto` and `cuda` stay as they are where Spark gave none: the library then takes what the task sees.
    """
    context = TaskContext.get()
    given = context.resources().get(GPU) if context is not None else None
    if device == "cpu" or given is None or not given.addresses:
        return device
    return f"cuda:{given.addresses[0]}"
