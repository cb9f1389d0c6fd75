"""Killing a run between or inside stages and starting it again gives the same tables and the same published bytes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from quickjava import JAVA_OPTIONS

from curation.demo.server import serve
from curation.demo.web import DemoWeb, build

pytestmark = pytest.mark.slow
LAST = "manifest"
PATIENCE = 300.0  # seconds for one attempt


def configuration(path: Path, web: DemoWeb, address: str) -> str:
    resolve = ", ".join(f'"{host}" = "{place}"' for host, place in web.resolve(address).items())
    return f"""
    [run]
    path = "{path}"
    heldout_share = 0.1
    [spark]
    master = "local[2]"
    driver_memory = "1g"
    settings = {{ "spark.driver.extraJavaOptions" = "{JAVA_OPTIONS}" }}
    [extract]
    inputs = ["{web.wat}"]
    [metadata]
    entries = ["{web.entries}"]
    [balance]
    t = {{ en = 4 }}
    [download]
    urls_per_shard = 15
    timeout = 1.0
    total_timeout = 3.0
    resolve = {{ {resolve} }}
    """


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "curation.cli", "run", "--config", str(config), "--until", LAST]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def kill_when(config: Path, sign: Path) -> None:
    """Kill the run, with all its processes, as soon as a path is there."""
    process = start(config)
    until = time.monotonic() + PATIENCE
    while not sign.exists():
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finish(config: Path) -> None:
    process = start(config)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors.decode()


def outcome(path: Path) -> tuple[dict[str, object], dict[str, str]]:
    records = {
        file.parent.name: {key: data[key] for key in ("tables", "files", "ledgers")}
        for file in sorted(path.glob("*/_stage.json"))
        for data in [json.loads(file.read_text())]
    }
    published = [
        file for file in sorted((path / LAST).rglob("*")) if file.is_file() and file.name != "_stage.json"
    ]
    return records, {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in published
    }


def test_a_run_that_is_killed_again_and_again_ends_the_same(tmp_path: Path) -> None:
    web = build(tmp_path / "web", seed=2, pictures=80)
    with serve(web.folder) as address:
        configs = {}
        for name in ("whole", "killed"):
            configs[name] = tmp_path / f"{name}.toml"
            configs[name].write_text(configuration(tmp_path / name, web, address))
        finish(configs["whole"])
        killed = tmp_path / "killed"
        kill_when(configs["killed"], killed / "match")  # inside match
        assert not (killed / "match" / "_stage.json").exists()
        kill_when(configs["killed"], killed / "balance" / "_stage.json")  # between balance and download
        kill_when(configs["killed"], killed / "download" / "raw" / "00000.parquet")  # inside download
        finish(configs["killed"])
    assert outcome(killed) == outcome(tmp_path / "whole")
