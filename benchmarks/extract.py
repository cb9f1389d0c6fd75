"""Links a second and core: `curation.extract.extract_wat` beside cc2dataset 1.5, on the pool's WAT files.

    python benchmarks/extract.py [--pool ../shared/pool] [--rounds 7] [--cache FOLDER]

Both read the same bytes from memory, in a process each that lives through all rounds; the rounds alternate, so that both see
the same machine. The figure is the number of `IMG@/src` links in the files, by a count of its own, over the median time.

cc2dataset: `extract_documents_from_wat(stream, "image")`, the function that turns a WAT file into links. fastwarc, simdjson; links
with a non-empty `alt` only; urljoin where the address is not absolute; http and https only; an MD5 of alt and address; a list of
dicts (url, alt, uid, cc_filename, page_url).
Ours: `extract_wat(source, tally, ...)`, the function that each task of the stage runs. fastwarc, orjson; links with every text of
theirs (alt, title, data-*-title), so half as many rows again; urljoin's answer for every address, hosts and ports checked,
canonical; texts checked for blanks, NULs and surrogates; NFC and SHA-256 of address and text; every drop counted by reason;
Arrow batches (pair_id, url, text, text_source, page_url, origin, crawl).

Timed on the files without their broken records, which this script drops, since one null link costs cc2dataset its whole file; then
both read the files as they are, to show that. cc2dataset is installed once, in an environment of its own under the cache.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import venv
import zlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parents[1]
REQUIREMENT = "cc2dataset==1.5"
WANTED_RATIO = 1.5

# What both child processes run: answer each line, a folder, with seconds and what was found in each of its files.
CHILD = """
import glob, io, json, sys, time
read = {reader}
for line in sys.stdin:
    files = [open(path, "rb").read() for path in sorted(glob.glob(line.strip() + "/*.wat.gz"))]
    wall, cpu = time.perf_counter(), time.process_time()
    found = [read(data) for data in files]
    seconds = dict(cpu=time.process_time() - cpu, wall=time.perf_counter() - wall)
    print(json.dumps(dict(seconds, rows=[len(rows) if isinstance(rows, list) else rows for rows in found])), flush=True)
"""
THEIRS = """
from loguru import logger
logger.remove()
from cc2dataset.main import extract_documents_from_wat
""" + CHILD.format(reader='lambda data: extract_documents_from_wat(io.BytesIO(data), "image")')
OURS = """
from curation.extract import extract_wat
from curation.stage import Tally
from curation.wat import Source
""" + CHILD.format(
    reader='lambda data: sum(b.num_rows for b in extract_wat(Source(io.BytesIO(data)), Tally(), origin="x"))'
)


def main() -> int:
    """Run the benchmark; return 0 where the wanted ratio is reached."""
    arguments = _arguments()
    wat = arguments.pool / "wat"
    files = sorted(wat.glob("*.wat.gz"))
    if not files:
        print(f"no WAT file is under {wat}: name the pool's folder with --pool", file=sys.stderr)
        return 2
    python = _reference_python(arguments.cache)
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder)
        links = sum(_write_clean(path, clean / path.name) for path in files)
        readers = {"cc2dataset": _start(python, THEIRS), "bicurate": _start(Path(sys.executable), OURS)}
        for process in readers.values():
            _ask(process, clean)  # warm
        rounds = {name: [] for name in readers}  # type: dict[str, list[dict[str, Any]]]
        for _ in range(arguments.rounds):
            for name, process in readers.items():
                rounds[name].append(_ask(process, clean))
        broken = {name: _ask(process, wat)["rows"] for name, process in readers.items()}
        for process in readers.values():
            process.communicate()
    result = _result(rounds, links, broken, python)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    _show(result)
    return 0 if result["ratio_cpu"] >= WANTED_RATIO else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--pool", type=Path, default=REPOSITORY.parent / "shared/pool", help="folder that holds wat/"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "bicurate-benchmarks")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results/extract.json")
    return parser.parse_args()


def _reference_python(cache: Path) -> Path:
    """Return the Python of an environment that holds cc2dataset, made where it is not there."""
    home = cache / REQUIREMENT.replace("==", "-")
    python = home / "bin/python"
    if not (home / ".made").exists():
        print(f"installing {REQUIREMENT} into {home}")
        venv.create(home, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT],
            check=True,
        )
        (home / ".made").touch()
    return python


def _members(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield each gzip member of a sound file, packed and unpacked."""
    rest = path.read_bytes()
    while rest:
        inflate = zlib.decompressobj(wbits=31)
        data = inflate.decompress(rest)
        yield rest[: len(rest) - len(inflate.unused_data)], data
        rest = inflate.unused_data


def _write_clean(path: Path, clean: Path) -> int:
    """Write a WAT file without its broken records; return the number of image links in it."""
    kept, links = [], 0
    for packed, data in _members(path):
        found = _image_links(data)
        if found is not None:
            kept.append(packed)
            links += found
    clean.write_bytes(b"".join(kept))
    return links


def _image_links(record: bytes) -> int | None:
    """Return the number of image links of a record; None where it, or a link of it, is broken."""
    headers, _, body = record.partition(b"\r\n\r\n")
    if b"WARC-Type: metadata" not in headers:
        return 0
    try:
        links = json.loads(body)["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"][
            "Links"
        ]
        return [link["path"] for link in links if link["url"] is not None].count("IMG@/src")
    except (ValueError, KeyError, TypeError):
        return None


def _start(python: Path, program: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} if program is OURS else dict(os.environ)
    return subprocess.Popen(
        [python, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def _ask(process: "subprocess.Popen[str]", folder: Path) -> dict[str, Any]:
    pipes: tuple[IO[str] | None, IO[str] | None] = (process.stdin, process.stdout)
    assert pipes[0] is not None
    assert pipes[1] is not None
    pipes[0].write(f"{folder}\n")
    pipes[0].flush()
    answer: dict[str, Any] = json.loads(pipes[1].readline())
    return answer


def _result(
    rounds: dict[str, list[dict[str, Any]]], links: int, broken: dict[str, list[int]], python: Path
) -> dict[str, Any]:
    sides = {}
    for name, answers in rounds.items():
        cpu, wall = ([answer[clock] for answer in answers] for clock in ("cpu", "wall"))
        sides[name] = {
            "cpu_seconds": [round(second, 4) for second in cpu],
            "wall_seconds": [round(second, 4) for second in wall],
            "links_per_cpu_second": round(links / statistics.median(cpu)),
            "links_per_wall_second": round(links / statistics.median(wall)),
            "rows": sum(answers[0]["rows"]),
            "rows_with_broken_records": sum(broken[name]),
            "files_lost_to_broken_records": sum(rows == 0 for rows in broken[name]),
        }
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True
    )
    theirs = {entry["name"].lower(): entry["version"] for entry in json.loads(listed.stdout)}
    ours, reference = sides["bicurate"], sides["cc2dataset"]
    return {
        "what": "IMG@/src links read a second and core, medians",
        "links": links,
        "rounds": len(rounds["bicurate"]),
        "seed": None,  # nothing is drawn
        "ratio_cpu": round(ours["links_per_cpu_second"] / reference["links_per_cpu_second"], 3),
        "ratio_wall": round(ours["links_per_wall_second"] / reference["links_per_wall_second"], 3),
        "wanted_ratio": WANTED_RATIO,
        "sides": sides,
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": {
            "python": platform.python_version(),
            "bicurate": {name: metadata.version(name) for name in ("fastwarc", "orjson", "pyarrow")},
            "cc2dataset": {name: theirs[name] for name in ("cc2dataset", "fastwarc", "pysimdjson")},
        },
    }  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _show(result: dict[str, Any]) -> None:
    print(f"{result['links']:,} image links, {result['rounds']} rounds, medians")
    print(
        f"{'':12}{'links/s (cpu)':>15}{'links/s (wall)':>16}{'rows':>9}{'with broken records':>21}{'files lost':>12}"
    )
    for name, side in result["sides"].items():
        print(
            f"{name:12}{side['links_per_cpu_second']:>15,}{side['links_per_wall_second']:>16,}{side['rows']:>9,}"
            f"{side['rows_with_broken_records']:>21,}{side['files_lost_to_broken_records']:>12}"
        )
    print(
        f"ratio: {result['ratio_cpu']} by cpu, {result['ratio_wall']} by wall; wanted {result['wanted_ratio']}"
    )


if __name__ == "__main__":
    sys.exit(main())
