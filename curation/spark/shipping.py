"""Files that every task reads, brought to the executors once, each named by its content: the same name is the same bytes."""

import atexit
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from pyspark import SparkFiles
from pyspark.sql import SparkSession


def ship_array(spark: SparkSession, what: str, array: np.ndarray) -> str:
    """Bring an array to the executors, which map it (`shipped_array`); return its name."""
    sha256 = hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()
    place = _folder() / f"{what}-{sha256}.npy"
    np.save(place, array)
    spark.addArtifact(str(place), file=True)
    return place.name


def shipped_array(name: str) -> np.ndarray:
    """Return, in a task, an array that was shipped, as a mapped file."""
    place = SparkFiles.get(name)
    try:
        array: np.ndarray = np.load(place, mmap_mode="r")
    except ValueError:  # nothing cannot be mapped
        array = np.load(place)
    return array


def ship_file(spark: SparkSession, path: Path, sha256: str) -> str:
    """Bring a file to the executors; return its name there, for `SparkFiles.get`."""
    place = _folder() / f"file-{sha256}{path.suffix}"
    try:
        os.link(path.resolve(), place)
    except OSError:  # another file system
        shutil.copyfile(path, place)
    spark.addArtifact(str(place), file=True)
    return place.name


def _folder() -> Path:
    """Return a new folder: Spark serves a file for as long as it lies there, to executors that come later too."""
    folder = Path(tempfile.mkdtemp(prefix="bicurate-ship-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
