"""How many of the near pairs of a demo run are copies, of which the demo's drawing knows, by threshold and by the second look's bound.

    curate demo && python benchmarks/demo_copies.py [--run runs/demo]

The demo draws one thing again and again, in other places and lights, so that its pictures are likelier to be taken for copies than
those of the web. Read from the run's `edges`, so that thresholds below neighbours.floor cannot be asked.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

BOUNDS = (0.4, 0.5, 0.6)
THRESHOLDS = (0.86, 0.88, 0.9, 0.92, 0.95)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    run = parser.parse_args().run
    roots, copies = _truth(run)
    edges = [
        (frozenset((row["image_id_a"], row["image_id_b"])), row["cosine"], row["agreement"])
        for row in pq.read_table(run / "neighbours" / "edges").to_pylist()
    ]
    print("threshold  bound  near pairs  no copies  of all copies near")
    for threshold in THRESHOLDS:
        for bound in BOUNDS:
            near = [pair for pair, cosine, agreement in edges if cosine >= threshold and agreement >= bound]
            wrong = sum(not set.intersection(*(roots[picture] for picture in pair)) for pair in near)
            found = len(copies.intersection(near)) / len(copies)
            print(f"{threshold:9.2f}{bound:7.2f}{len(near):12,}{wrong:11,}{found:20.3f}")


def _truth(run: Path) -> tuple[dict[str, set[str]], set[frozenset[str]]]:
    """Return the addresses of the drawings that a picture is of, and the pairs of a drawing and its copy of other bytes."""
    outcomes = pq.read_table(run / "download" / "outcomes", columns=["url", "status", "image_id"])
    image = {
        row["url"]: row["image_id"] for row in outcomes.filter(pc.equal(outcomes["status"], "ok")).to_pylist()
    }
    drawn = pq.read_table(run.with_name(f"{run.name}-web") / "pictures.parquet").to_pylist()
    roots = defaultdict(set)
    copies = set()
    for row in drawn:
        if row["url"] in image:
            roots[image[row["url"]]].add(row["copy_of"] or row["url"])
            if row["copy_of"] in image and image[row["copy_of"]] != image[row["url"]]:
                copies.add(frozenset((image[row["copy_of"]], image[row["url"]])))
    return roots, copies


if __name__ == "__main__":
    main()
